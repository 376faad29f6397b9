"""How full the GPU is, if torch runs on one."""

from __future__ import annotations

import sys


def gpu_memory() -> dict[str, int]:
    """Bytes of the current CUDA device by kind: `allocated`, `reserved` (by torch), `used` (by all programs), `total`.

    Empty where torch is not loaded, or does not use a GPU yet, or the GPU has stopped working. This function neither
    loads torch nor starts a GPU.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError:  # the worker notices it by itself, and the other metrics are wanted most then
        return {}
    return {
        "allocated": torch.cuda.memory_allocated(),
        "reserved": torch.cuda.memory_reserved(),
        "used": total - free,
        "total": total,
    }
