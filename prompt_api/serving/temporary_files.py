"""Checks the folder of temporary files, which holds large bodies and large answers."""

from __future__ import annotations

import os
import tempfile

from shared.contract.errors import Overloaded


def require_room(size: int) -> None:
    """Return if the folder of temporary files has room for `size` bytes.

    Raises:
        Overloaded: it has less room, or it cannot be used. The message says which folder and how much is free.
    """
    try:
        folder = tempfile.gettempdir()
        found = os.statvfs(folder)
    except OSError as error:
        raise Overloaded(f"the folder of temporary files cannot be used: {error.strerror}") from None
    free = found.f_bavail * found.f_frsize
    if free < size:
        raise Overloaded(f"{folder} has {free:,} bytes free, and an upload may need {size:,}")
