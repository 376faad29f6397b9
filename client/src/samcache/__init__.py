"""Clients of sam-embedding-cache: drop-ins for `SamPredictor` and `SAM2ImagePredictor`, and the HTTP API as calls.

`samcache.errors` has every error that they raise.
"""

from samcache.arrays.given_mask import mask_prompt
from samcache.arrays.rle import mask_of_rle
from samcache.errors import ConnectionDropped, SamCacheError, ServiceUnreachable, UnexpectedAnswer
from samcache.predictor.automatic import RemoteAutomaticMaskGenerator
from samcache.predictor.remote import RemoteSamPredictor
from samcache.predictor.remote_async import AsyncRemoteSamPredictor
from samcache.predictor.remote_sam2 import RemoteSAM2ImagePredictor
from samcache.service.async_client import AsyncSamCache
from samcache.service.clients import SamCache
from samcache.service.flows import image_id_of
from samcache.service.resources import (
    Everything,
    Finer,
    FoundMask,
    ImageInfo,
    Mask,
    Masks,
    ModelInfo,
    Readiness,
    RegionInfo,
    Regions,
)
from samcache.service.similar import Similar, SimilarMask

__all__ = [
    "AsyncRemoteSamPredictor",
    "AsyncSamCache",
    "ConnectionDropped",
    "Everything",
    "Finer",
    "FoundMask",
    "ImageInfo",
    "Mask",
    "Masks",
    "ModelInfo",
    "Readiness",
    "RegionInfo",
    "Regions",
    "RemoteAutomaticMaskGenerator",
    "RemoteSAM2ImagePredictor",
    "RemoteSamPredictor",
    "SamCache",
    "SamCacheError",
    "ServiceUnreachable",
    "Similar",
    "SimilarMask",
    "UnexpectedAnswer",
    "image_id_of",
    "mask_of_rle",
    "mask_prompt",
]
