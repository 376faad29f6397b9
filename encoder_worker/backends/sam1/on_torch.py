"""Loads a checkpoint of segment_anything: its image encoder for this worker, its mask decoder for the API."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from encoder_worker.backends.on_torch.device import choose_device, choose_dtype, explained_memory
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.sam1.attention import fuse_attention
from encoder_worker.backends.sam1.checkpoint_file import empty_sam, read_checkpoint
from encoder_worker.backends.sam1.decoder_export import provide_decoder
from encoder_worker.backends.sam1.network import Network
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.host.cores import usable_cores
from shared.weights.checkpoint import locate_checkpoint
from shared.weights.decoder_file import is_handed_over
from shared.weights.entry_files import naming_the_entry

GPU_BATCH = 4
"""Images per batch on a GPU unless `SAM_ENCODE_BATCH` says otherwise. On a CPU a batch saves nothing."""

_COMPILE = {"default": "default", "max-autotune": "max-autotune-no-cudagraphs"}
"""torch's modes by setting. None uses CUDA graphs: only the thread that recorded them may run them, and for networks
of this size they save little."""

_log = logging.getLogger(__name__)


def load(model: Model, settings: Settings) -> TorchEncoder:
    """The encoder with the checkpoint's weights, ready. The checkpoint's decoder file is written too, unless it exists.

    Raises:
        ConfigurationError: there is no such device as the settings ask for, or it is too small.
        WeightsError: the checkpoint is missing, damaged, of another model, or cannot be fetched.
    """
    torch.set_num_threads(settings.encoder_threads or usable_cores())
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.torch_dtype, device)
    model, sam, state = _read(model, settings)
    if is_handed_over(model):
        provide_decoder(model, state, settings)
    with explained_memory(device, model.name):
        network: Callable[[Tensor], Tensor] = Network(_on_device(sam.image_encoder, state, device), dtype)
        if settings.torch_compile != "off":
            network = torch.compile(network, mode=_COMPILE[settings.torch_compile], dynamic=False)
        result = torch.float16 if settings.embedding_dtype == "float16" else torch.float32
        batch = settings.encode_batch or (GPU_BATCH if device.type == "cuda" else 1)
        encoder = TorchEncoder(model, network, device, batch=batch, result=result)
        _log.info("%s in %s on %s, compile %s", model.name, dtype, device, settings.torch_compile)
        # On a CPU there is nothing to prepare, and it would take as long as encoding an image.
        if device.type == "cuda" or settings.torch_compile != "off":
            encoder.warm_up()
    return encoder


def export_decoder(model: Model, settings: Settings) -> Model:
    """Write the decoder file of the checkpoint that the settings name, and return the model with its digest.

    Raises:
        WeightsError: the checkpoint is missing, damaged, of another model, or cannot be fetched.
    """
    model, _, state = _read(model, settings)
    provide_decoder(model, state, settings)
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
    fuse_attention(image_encoder)
    return image_encoder.eval().requires_grad_(False)
