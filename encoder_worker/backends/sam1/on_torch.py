"""Loads a checkpoint of segment_anything: its image encoder for this worker, its mask decoder for the API."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from encoder_worker.backends.on_torch.decoder_export import provide_decoder
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.start import choose_place, ready_encoder
from encoder_worker.backends.sam1.blocks import fuse_blocks
from encoder_worker.backends.sam1.checkpoint_file import decoder_part, empty_sam, read_checkpoint
from encoder_worker.backends.sam1.network import Network
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.checkpoint import locate_checkpoint
from shared.weights.decoder_file import is_handed_over
from shared.weights.entry_files import naming_the_entry


def load(model: Model, settings: Settings) -> TorchEncoder:
    """The encoder with the checkpoint's weights, ready. The checkpoint's decoder file is written too, unless it exists.

    Raises:
        ConfigurationError: there is no such device as the settings ask for, or it is too small.
        WeightsError: the checkpoint is missing, damaged, of another model, or cannot be fetched.
    """
    place = choose_place(settings)
    model, sam, state = _read(model, settings)
    if is_handed_over(model):
        provide_decoder(model, decoder_part(state), settings)
    return ready_encoder(
        model,
        settings,
        place,
        lambda: Network(_on_device(sam.image_encoder, state, place.device), place.dtype, float8=place.float8).eval(),
    )


def export_decoder(model: Model, settings: Settings) -> Model:
    """Write the decoder file of the checkpoint that the settings name, and return the model with its digest.

    Raises:
        WeightsError: the checkpoint is missing, damaged, of another model, or cannot be fetched.
    """
    model, _, state = _read(model, settings)
    provide_decoder(model, decoder_part(state), settings)
    return model


def _read(model: Model, settings: Settings) -> tuple[Model, Any, dict[str, Tensor]]:
    """Return the model with the digest of its checkpoint, an empty network of its kind, and the weights for it."""
    path, model = locate_checkpoint(model, settings)
    assert model.checkpoint is not None
    network = model.checkpoint.network
    sam = empty_sam(network)
    with naming_the_entry(model, "weights"):
        return model, sam, read_checkpoint(path, network, sam.state_dict())


def _on_device(image_encoder: Any, state: dict[str, Tensor], device: torch.device) -> Any:
    prefix = "image_encoder."
    own = {
        # Copied also on a CPU. The tensors are mapped from the file: if it changed, they would change with it, and if
        # it was cut, reading them would end the process.
        name.removeprefix(prefix): tensor.to(device, torch.float32, copy=True)
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    image_encoder.load_state_dict(own, strict=True, assign=True)
    fuse_blocks(image_encoder)
    return image_encoder.eval().requires_grad_(False)
