"""The version of the project."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Return the installed version, or `unknown` if the project runs from its source without being installed."""
    try:
        return version("sam-embedding-cache")
    except PackageNotFoundError:
        return "unknown"
