"""The first runs of an encoder: they prepare every size of batch, and find the batch that suits the device."""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path

import numpy as np
import torch

from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.knee import MOST, best_batch, largest_that_fits
from shared.contract.models import Model
from shared.host.atomic_file import replacing

_ROUNDS = 3
"""Times that a batch is run to see how fast it is. The best one counts."""

_log = logging.getLogger(__name__)


def tried_batch(encoder: TorchEncoder, wanted: int, device: torch.device, note: Path | None) -> int:
    """Run batches of each size that will occur, and return the largest.

    That compiles, tunes and allocates what the first use would otherwise pay for.

    Args:
        encoder: without a limit on its batches.
        wanted: `SAM_ENCODE_BATCH`. 0: what suits the device.
        note: where the batch that suited it last time is written down.

    Raises:
        torch.OutOfMemoryError: not even one image fits.
    """
    if not wanted and device.type != "cuda":
        wanted = 1
    known = wanted or _noted(note)
    with _PeakMemory(device) as peak:
        _run(encoder, 1)
    fitting = largest_that_fits(peak.free, peak.grown, known or MOST) if device.type == "cuda" else known
    if known:
        for size in _sizes(fitting)[1:]:
            _run(encoder, size)
        return _sizes(fitting)[-1]
    batch = best_batch(fitting, lambda size: _best_seconds(encoder, size))
    _write_down(note, batch)
    return batch


def _best_seconds(encoder: TorchEncoder, size: int) -> float:
    _run(encoder, size)
    return min(_run(encoder, size, quiet=True) for _ in range(_ROUNDS))


def _run(encoder: TorchEncoder, size: int, *, quiet: bool = False) -> float:
    """Encode `size` blank images at once, and return the seconds that it took."""
    frame = encoder.model.encoder_frame
    blank = np.zeros((frame.side, frame.side, 3), dtype=frame.pixels)
    began = time.perf_counter()
    encoder.try_out([blank] * size)
    seconds = time.perf_counter() - began
    if not quiet:
        _log.info("ready for batches of %d after %.1f s", size, seconds)
    return seconds


def _sizes(largest: int) -> list[int]:
    """1, 2, 4, …: every size of batch that occurs, up to `largest`."""
    return [1 << power for power in range(largest.bit_length())]


class _PeakMemory:
    """How much memory of the device a block takes at most, and how much is free after it. In bytes; 0 on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.grown = self.free = 0

    def __enter__(self) -> _PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.grown = torch.cuda.max_memory_allocated(self._device) - self._before
            unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
            self.free = torch.cuda.mem_get_info(self._device)[0] + unused


def note_in(kept: Path | None, model: Model, precision: str, device: torch.device) -> Path | None:
    """Return the file for the batch that suits this network on this device, in the folder of what is compiled."""
    if kept is None or device.type != "cuda":
        return None
    name = re.sub(r"[^A-Za-z0-9]+", "-", torch.cuda.get_device_name(device))
    return kept / f"batch-{model.name}-{precision}-{name}.json"


def _noted(note: Path | None) -> int:
    """The batch that was written down, or 0."""
    try:
        batch = json.loads(note.read_bytes())["batch"] if note is not None else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return batch if isinstance(batch, int) and 0 < batch <= MOST else 0


def _write_down(note: Path | None, batch: int) -> None:
    if note is None:
        return
    try:
        with replacing(note) as file:
            file.write(json.dumps({"batch": batch}).encode())
    except OSError as error:
        _log.warning("cannot write down the batch that suits this GPU: %s", error)
