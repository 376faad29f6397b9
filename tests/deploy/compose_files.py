"""Reads the compose files and merges them by the override rules, with each variable at its default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from deploy.local.process import ROOT

BASE = ROOT / "docker-compose.yml"
GPU = ROOT / "docker-compose.gpu.yml"
EXAMPLE = ROOT / ".env.example"

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


def base() -> dict[str, Any]:
    """Return `docker-compose.yml` alone."""
    return _read(BASE.read_text())


def with_gpu() -> dict[str, Any]:
    """Return `docker-compose.yml`, overridden by `docker-compose.gpu.yml`."""
    return _merged(base(), _read(GPU.read_text()))


def variables() -> dict[str, set[str]]:
    """Return every variable of the compose files with all its defaults there."""
    found: dict[str, set[str]] = {}
    for file in (BASE, GPU):
        text = re.sub(r"^\s*#.*$", "", file.read_text(), flags=re.MULTILINE)
        for match in _VARIABLE.finditer(text):
            found.setdefault(match["name"], set()).add(match["default"] or "")
    return found


def example() -> dict[str, str]:
    """Return the variables that `.env.example` sets."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def seconds(duration: str) -> float:
    """Return the seconds of a duration in whole seconds or minutes."""
    return float(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def _read(text: str) -> dict[str, Any]:
    document: dict[str, Any] = _interpolated(yaml.safe_load(text))
    return document


def _interpolated(value: Any) -> Any:
    """Return `value` with each variable in its strings replaced by its default. A string stays a string."""
    if isinstance(value, dict):
        return {key: _interpolated(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_interpolated(one) for one in value]
    return _VARIABLE.sub(lambda match: match["default"] or "", value) if isinstance(value, str) else value


def _merged(lower: Any, upper: Any) -> Any:
    """Merge mappings key by key, concatenate sequences, and replace anything else."""
    if isinstance(lower, Mapping) and isinstance(upper, Mapping):
        keys = [*lower, *(key for key in upper if key not in lower)]
        return {
            key: _merged(lower[key], upper[key]) if key in lower and key in upper else {**lower, **upper}[key]
            for key in keys
        }
    if isinstance(lower, list) and isinstance(upper, list):
        return [*lower, *upper]
    return upper
