"""Loads SAM 2.1 or EdgeTAM: its image encoder for this worker, its mask decoder for the API."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from encoder_worker.backends.on_torch.decoder_export import provide_decoder
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.start import choose_place, ready_encoder
from encoder_worker.backends.sam2.network import Network, empty_model
from encoder_worker.backends.sam2.weights import decoder_part, read_weights
from shared.contract.errors import ConfigurationError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.checkpoint import locate_checkpoint
from shared.weights.entry_files import naming_the_entry


def load(model: Model, settings: Settings) -> TorchEncoder:
    """The encoder with the checkpoint's weights, ready. The checkpoint's decoder file is written too, unless it exists.

    Raises:
        ConfigurationError: there is no such device or precision as the settings ask for, or it is too small.
        WeightsError: the checkpoint is missing, damaged, of another model, or cannot be fetched.
    """
    place = choose_place(settings)
    if place.float8:
        raise ConfigurationError("SAM_TORCH_DTYPE=float8 is for the ViT models; use bfloat16 with SAM 2.1 and EdgeTAM")
    model, state, empty = _read(model, settings)
    provide_decoder(model, decoder_part(state), settings)
    return ready_encoder(
        model, settings, place, lambda: Network(_on_device(empty, state, place.device), place.dtype).eval()
    )


def export_decoder(model: Model, settings: Settings) -> Model:
    """Write the decoder file of the checkpoint that the settings name, and return the model with its digest.

    Raises:
        WeightsError: the checkpoint is missing, damaged, of another model, or cannot be fetched.
    """
    model, state, _ = _read(model, settings)
    provide_decoder(model, decoder_part(state), settings)
    return model


def _read(model: Model, settings: Settings) -> tuple[Model, dict[str, Tensor], Any]:
    """Return the model with its checkpoint's digest, the weights, and the network for them."""
    path, model = locate_checkpoint(model, settings)
    assert model.checkpoint is not None
    network = model.checkpoint.network
    empty = empty_model(network)
    with naming_the_entry(model, "weights"):
        return model, read_weights(path, network, empty.state_dict()), empty


def _on_device(model: Any, state: dict[str, Tensor], device: torch.device) -> Any:
    # Copied also on a CPU. The tensors may be mapped from the file: if it changed, they would change with it.
    model.load_state_dict({name: tensor.to(device, copy=True) for name, tensor in state.items()}, assign=True)
    return model.eval().requires_grad_(False)
