"""The service in this process, as the tests of its routes have it."""

from __future__ import annotations

from tests.unit.api.conftest import make_world, world

__all__ = ["make_world", "world"]
