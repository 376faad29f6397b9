"""Loads an image encoder of SAM that was exported to ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoder_worker.backends.onnx.encoder import OnnxEncoder
from shared.contract.errors import EncodeFailed, WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.host.cores import usable_cores
from shared.weights.decoder_file import is_handed_over
from shared.weights.entry_files import identified, naming_the_entry
from shared.weights.locate import locate_weights


def load(model: Model, settings: Settings) -> OnnxEncoder:
    """The encoder with verified weights, ready.

    If its mask decoder is in a checkpoint that only torch reads, the decoder file is written too, unless it exists.

    Raises:
        ConfigurationError: there is no such device as the settings ask for, or torch is needed and not installed.
        WeightsError: the weights are missing, damaged, of another kind, or cannot be fetched.
    """
    path, model = _located(model, settings)
    if is_handed_over(model):
        export_decoder(model, settings)
    with naming_the_entry(model, "encoder"):
        encoder = OnnxEncoder(
            model,
            path,
            threads=settings.encoder_threads or usable_cores(),
            device=settings.device,
            batch=settings.encode_batch,
            cpu_precision=settings.cpu_precision,
        )
        _try_out(encoder, path)
    return encoder


def export_decoder(model: Model, settings: Settings) -> Model:
    """Write the decoder file of the checkpoint that has the model's mask decoder, and return the model with its digest.

    Raises:
        WeightsError: the checkpoint is missing, damaged, or has no mask decoder of SAM.
    """
    from encoder_worker.backends.sam1.decoder_export import provide_from_checkpoint  # noqa: PLC0415  # it needs torch

    _, model = _located(model, settings)
    provide_from_checkpoint(model, settings)
    return model


def _located(model: Model, settings: Settings) -> tuple[Path, Model]:
    """Return the path of the image encoder, and the model with the digests of its files."""
    if model.entry is None:
        return locate_weights(model, settings).encoder, model
    assert model.entry.encoder is not None
    return model.entry.encoder, identified(model)


def _try_out(encoder: OnnxEncoder, path: Path) -> None:
    """Encode noise once. That allocates memory, tunes a GPU, and shows weights that are not finite."""
    side = encoder.model.encoder_frame.side
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    try:
        encoder.encode([noise] * encoder.batch)
    except EncodeFailed as error:
        raise WeightsError(f"{path} does not work as an image encoder: {error.detail}") from error
