"""Loads an image encoder of SAM that was exported to ONNX."""

from __future__ import annotations

import numpy as np

from encoder_worker.backends.onnx.encoder import OnnxEncoder
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.host.cores import usable_cores
from shared.weights.locate import locate_weights


def load(model: Model, settings: Settings) -> OnnxEncoder:
    """The encoder with verified weights, ready.

    Raises:
        ConfigurationError: there is no such device as the settings ask for.
        WeightsError: the weights are missing, damaged or cannot be fetched.
    """
    encoder = OnnxEncoder(
        model,
        locate_weights(model, settings).encoder,
        threads=settings.encoder_threads or usable_cores(),
        device=settings.device,
        batch=settings.encode_batch,
    )
    # The first run allocates memory, and on a GPU it tunes itself.
    side = model.architecture.frame.side
    encoder.encode([np.zeros((side, side, 3), dtype=np.uint8)] * encoder.batch)
    return encoder
