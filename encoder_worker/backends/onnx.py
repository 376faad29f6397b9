"""Image encoders exported to ONNX, in ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from encoder_worker.preprocess import normalise_and_pad
from shared.errors import EncodeFailed
from shared.models import Model
from shared.settings import Settings
from shared.weights import locate_weights


class OnnxEncoder:
    """An `Encoder` on a graph from (B, 3, 1024, 1024) float32 to (B, 256, 64, 64) float32."""

    def __init__(self, model: Model, path: Path, threads: int) -> None:
        self._model = model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin between operators take the cores from the API beside them, and from this encoder.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    @property
    def model(self) -> Model:
        return self._model

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        # One by one: on a CPU a batch costs its memory several times over and saves nothing.
        return [self._encode(image) for image in images]

    def _encode(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            (embedding,) = self._session.run(None, {self._input: normalise_and_pad(image)})
        except Exception as error:  # its exceptions share no base class of their own
            raise EncodeFailed(f"ONNX Runtime could not run the image encoder ({type(error).__name__})") from error
        if embedding.shape != self._model.embedding_shape or not np.isfinite(embedding).all():
            raise EncodeFailed("the image encoder gave a result that is not a finite embedding")
        return np.asarray(embedding, dtype=np.float32)


def load(model: Model, settings: Settings) -> OnnxEncoder:
    """The encoder on verified weights.

    Raises:
        WeightsError: they are missing, damaged or cannot be fetched.
    """
    return OnnxEncoder(model, locate_weights(model, settings).encoder, settings.encoder_threads or _usable_cores())


def _usable_cores() -> int:
    # ONNX Runtime's own default counts the cores of the host, also those this container may not use.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
