"""Fixtures for the service in this process, the same as for the tests of its routes."""

from __future__ import annotations

from tests.unit.api.conftest import make_world, world

__all__ = ["make_world", "world"]
