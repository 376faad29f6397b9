"""How much memory a process uses, as Linux reports it."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process in bytes; None if there is no such process or no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * _PAGE or None  # an ended process shows 0 until its parent has waited for it
