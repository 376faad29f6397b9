"""Chooses the device and the precision that torch computes with, and says why not a better one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from shared.contract.errors import ConfigurationError

_log = logging.getLogger(__name__)

_BFLOAT16_CAPABILITY = (8, 0)
"""First CUDA compute capability (Ampere) that multiplies bfloat16 in hardware."""


def choose_device(wanted: str) -> torch.device:
    """The device that `SAM_DEVICE` (`auto`, `cuda`, `cpu`) asks for.

    Raises:
        ConfigurationError: there is no usable GPU for `cuda`. The sentence says whether torch or the driver is missing.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    reason = _why_not_cuda()
    if reason is None:
        device = torch.device("cuda", torch.cuda.current_device())
        _log.info("running on %s", torch.cuda.get_device_name(device))
        return device
    if wanted == "cuda":
        raise ConfigurationError(f"SAM_DEVICE=cuda: {reason}")
    _log.warning("running on the CPU, which takes seconds to minutes per image: %s", reason)
    return torch.device("cpu")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The precision that `SAM_TORCH_DTYPE` (`auto`, `float32`, `bfloat16`) asks for.

    float16 is not offered: some values in ViT-H are too large for it. Source: segment_anything issues 540 and 696.
    """
    if wanted == "auto":
        fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= _BFLOAT16_CAPABILITY
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]


@contextmanager
def explained_memory(device: torch.device, what: str) -> Iterator[None]:
    """If the device's memory runs out inside the block, raise an error that says what to do.

    Raises:
        ConfigurationError: `what` does not fit.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        free, total = (amount / 1e9 for amount in torch.cuda.mem_get_info(device))
        raise ConfigurationError(
            f"{what} does not fit into the memory of {torch.cuda.get_device_name(device)} ({free:.1f} of {total:.1f} "
            "GB are free): end what else uses it, choose a smaller model with SAM_MODEL, or set SAM_DEVICE=cpu"
        ) from error


def _why_not_cuda() -> str | None:
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return "the installed torch is built for the CPU alone; install a CUDA build of it to use a GPU"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch has no types here
    except (RuntimeError, AssertionError) as error:  # it has the driver's reason: missing, too old, busy
        return str(error).strip().splitlines()[0]
    return "torch finds no GPU that it can use"
