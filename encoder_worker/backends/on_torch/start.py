"""Makes a torch network into a ready encoder: precision, compiler, batches and the first run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from encoder_worker.backends.on_torch.device import choose_device, choose_dtype, explained_memory
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from shared.contract.models import Model, StoredAs
from shared.contract.settings import Settings
from shared.host.cores import usable_cores

GPU_BATCH = 4
"""Images per batch on a GPU unless `SAM_ENCODE_BATCH` says otherwise. On a CPU a batch saves nothing."""

_COMPILE = {"default": "default", "max-autotune": "max-autotune-no-cudagraphs"}
"""torch's modes by setting. None uses CUDA graphs: only the thread that recorded them may run them, and for networks
of this size they save little."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a network runs.

    Attributes:
        device: of the network and its input.
        dtype: of the largest part of its arithmetic.
    """

    device: torch.device
    dtype: torch.dtype


def choose_place(settings: Settings) -> Place:
    """Return the device and the precision that the settings ask for, and limit torch's threads to theirs.

    Raises:
        ConfigurationError: there is no such device as the settings ask for.
    """
    torch.set_num_threads(settings.encoder_threads or usable_cores())
    device = choose_device(settings.device)
    return Place(device, choose_dtype(settings.torch_dtype, device))


def ready_encoder(model: Model, settings: Settings, place: Place, make: Callable[[], nn.Module]) -> TorchEncoder:
    """Return an encoder that is ready to run.

    Args:
        make: returns the network at `place`, from (B, 3, side, side) float32 to its tensors by name.

    Raises:
        ConfigurationError: the device's memory is too small.
    """
    device = place.device
    with explained_memory(device, model.name):
        network: Callable[[Tensor], Mapping[str, Tensor]] = make()
        if settings.torch_compile != "off":
            network = torch.compile(network, mode=_COMPILE[settings.torch_compile], dynamic=False)
        stored = model.architecture.stored_as(cast(StoredAs, settings.embedding_dtype))
        encoder = TorchEncoder(
            model,
            network,
            device,
            batch=settings.encode_batch or (GPU_BATCH if device.type == "cuda" else 1),
            half={name for name, dtype in stored.items() if dtype == "float16"},
        )
        _log.info("%s in %s on %s, compile %s", model.name, place.dtype, device, settings.torch_compile)
        # On a CPU there is nothing to prepare, and it would take as long as encoding an image.
        if device.type == "cuda" or settings.torch_compile != "off":
            encoder.warm_up()
    return encoder
