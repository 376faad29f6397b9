"""Finds out whether a device still works after an error.

Some errors of CUDA concern one call, for example too little memory. After others (an illegal memory access, a failed
assertion, an uncorrectable error of the memory, a driver that is gone) every later call of the process fails too. The
texts of the errors do not tell the two apart reliably, so the device is given something to do.

Source: the CUDA Runtime API, "Error Handling": such errors leave the process in an inconsistent state, and it must be
ended to go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

PATIENCE = 20.0
"""Seconds. A device that needs longer for next to nothing hangs."""


def still_works(work: Callable[[], object], patience: float = PATIENCE) -> bool:
    """Return whether `work` ends without an error within `patience` seconds.

    It runs in a thread of its own, because a call to a device that hangs cannot be ended.

    Args:
        work: has the device compute something, and waits for it. Too little memory for that is no error of the device.
    """
    worked = threading.Event()

    def run() -> None:
        try:
            work()
        except torch.OutOfMemoryError:
            pass
        except Exception:  # whatever it is, the device did not do the work
            return
        worked.set()

    thread = threading.Thread(target=run, name="check the device", daemon=True)
    thread.start()
    thread.join(patience)
    return worked.is_set()
