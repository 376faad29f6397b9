"""Makes a torch network into a ready encoder: precision, compiler, batches and the first run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import nn

from encoder_worker.backends.on_torch.compiling import compiled_or_not, keep_compiled, mode_of
from encoder_worker.backends.on_torch.device import choose_device, choose_dtype, explained_memory
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.float8 import require_float8
from encoder_worker.backends.on_torch.resizing import Resizer, proven_resizer
from encoder_worker.backends.on_torch.trial import note_in, tried_batch
from shared.contract.models import Model, StoredAs
from shared.contract.settings import Settings
from shared.host.cores import usable_cores

MOST_IMAGES = 64
"""Images of the largest batch that `SAM_ENCODE_BATCH` can ask for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a network runs.

    Attributes:
        device: of the network and its input.
        dtype: of the largest part of its arithmetic.
        float8: whether products are made in float8, and all else in `dtype`.
    """

    device: torch.device
    dtype: torch.dtype
    float8: bool = False

    @property
    def precision(self) -> str:
        """Its name."""
        return "float8" if self.float8 else str(self.dtype).removeprefix("torch.")


class Compilable(Protocol):
    """A network that knows its parts."""

    @property
    def parts(self) -> Sequence[nn.Module]:
        """What is compiled. Parts of one class that differ only in their weights are compiled once."""
        ...


def choose_place(settings: Settings) -> Place:
    """Return the device and the precision that the settings ask for, and limit torch's threads to theirs.

    Raises:
        ConfigurationError: there is no such device as the settings ask for, or it cannot compute in that precision.
    """
    torch.set_num_threads(settings.encoder_threads or usable_cores())
    device = choose_device(settings.device)
    if settings.torch_dtype == "float8":
        require_float8(device)
        return Place(device, torch.bfloat16, float8=True)
    return Place(device, choose_dtype(settings.torch_dtype, device))


def ready_encoder(model: Model, settings: Settings, place: Place, make: Callable[[], nn.Module]) -> TorchEncoder:
    """Return an encoder that is ready to run.

    Args:
        make: returns the network at `place`, from (B, 3, side, side) float32 to its tensors by name; a `Compilable`.

    Raises:
        ConfigurationError: the device's memory is too small.
    """
    device = place.device
    with explained_memory(device, model.name):
        began = time.perf_counter()
        network = make()
        _log.info("%s is on %s after %.1f s", model.name, device, time.perf_counter() - began)
        stored = model.architecture.stored_as(cast(StoredAs, settings.embedding_dtype))
        half = {name for name, dtype in stored.items() if dtype == "float16"}
        mode = mode_of(settings.torch_compile, device)
        compiled, batch = False, settings.encode_batch or 1
        if mode is not None or device.type == "cuda":
            unlimited = TorchEncoder(model, network, device, batch=MOST_IMAGES, half=half)
            kept = _kept(model, settings) if mode is not None else None
            note = note_in(kept, model, place.precision, device)

            def try_out() -> None:
                nonlocal batch
                batch = tried_batch(unlimited, settings.encode_batch, device, note)

            compiled = mode is not None and compiled_or_not(cast(Compilable, network).parts, mode, try_out)
            if mode is None:
                try_out()
        _log.info(
            "%s in %s on %s, %s, batches of up to %d, after %.1f s",
            model.name,
            place.precision,
            device,
            "compiled" if compiled else "not compiled",
            batch,
            time.perf_counter() - began,
        )
        resizer = _resizer(model, settings, device)
        return TorchEncoder(model, network, device, batch=batch, half=half, resizer=resizer)


def _resizer(model: Model, settings: Settings, device: torch.device) -> Resizer | None:
    if device.type != "cuda" or settings.torch_resize == "off":
        return None
    resizer = proven_resizer(model.encoder_frame, device)
    if resizer is not None:
        _log.info("%s resizes pictures, and gives what Pillow gives", device)
    return resizer


def _kept(model: Model, settings: Settings) -> Path | None:
    """Return the folder in which what is compiled is kept, if it is, and say what begins now."""
    kept = keep_compiled(settings.weights_folder)
    _log.info(
        "compiling %s for each size of batch: the first time it takes minutes%s",
        model.name,
        f", later seconds, because it is kept in {kept}" if kept else "",
    )
    return kept
