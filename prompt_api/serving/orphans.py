"""Ends an API process when the process that started it ends, also if that was killed."""

from __future__ import annotations

import os
import signal
import time
from threading import Thread

LAST_SECONDS = 10.0
"""Seconds that the process may take to end by itself."""


def end_with_parent(descriptor: int | None) -> None:
    """Make this process end when `descriptor` is closed at its other end, of which the parent has the only one.

    A process that serves on without its parent would answer with old settings, perhaps without tokens, beside the
    service that is started next.

    Args:
        descriptor: of the end of a pipe that is read from; None if nobody has to be watched.
    """
    if descriptor is not None:
        Thread(target=_watch, args=(descriptor,), name="watch the parent", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(1)
