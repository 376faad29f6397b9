"""Which version of the project this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """As it was installed; `unknown` where it runs from its source, uninstalled."""
    try:
        return version("sam-embedding-cache")
    except PackageNotFoundError:
        return "unknown"
