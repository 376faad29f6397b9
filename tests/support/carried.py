"""The recordings of tools that carry the image in each request, and worlds to replay them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1]


def recorded(path: str) -> dict[str, Any]:
    """Return a recording, by its path below `tests/`."""
    found: dict[str, Any] = json.loads((_TESTS / path).read_text())
    return found


def named(recording: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the case with that name."""
    (found,) = [case for case in recording["cases"] if case["name"] == name]
    return dict(found)
