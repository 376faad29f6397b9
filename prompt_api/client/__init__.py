"""Clients of the service, without flask, torch or ONNX Runtime: a drop-in SamPredictor, and the HTTP API as calls."""

from prompt_api.client.async_predictor import AsyncRemoteSamPredictor
from prompt_api.client.errors import ConnectionDropped, ServiceUnreachable, UnexpectedAnswer
from prompt_api.client.flows import image_id_of
from prompt_api.client.predictor import RemoteSamPredictor
from prompt_api.client.resources import ImageInfo, Mask, Masks, ModelInfo, Readiness
from prompt_api.client.service import AsyncSamCache, SamCache

__all__ = [
    "AsyncRemoteSamPredictor",
    "AsyncSamCache",
    "ConnectionDropped",
    "ImageInfo",
    "Mask",
    "Masks",
    "ModelInfo",
    "Readiness",
    "RemoteSamPredictor",
    "SamCache",
    "ServiceUnreachable",
    "UnexpectedAnswer",
    "image_id_of",
]
