"""Fixtures for the API on in-memory stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.label_studio import Background
from tests.support.world import World, new_world


@pytest.fixture
def make_world() -> Callable[..., World]:
    return new_world


@pytest.fixture
def world() -> World:
    return new_world()


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as threads:
        yield threads
