"""Fixtures for the service in this process, the same as for the tests of its routes, and for one that really runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.stack import LocalStack
from samcache import RemoteSamPredictor
from tests.unit.api.conftest import make_world, world

__all__ = ["make_world", "remote", "world"]


@pytest.fixture(scope="module")
def remote() -> Iterator[RemoteSamPredictor]:
    """A predictor over a running service with the real MobileSAM weights."""
    # float32 avoids the cache's rounding, so that only the arithmetic is compared.
    with (
        LocalStack({"SAM_MODEL": "mobile_sam", "SAM_EMBEDDING_DTYPE": "float32"}) as stack,
        RemoteSamPredictor(stack.url) as predictor,
    ):
        yield predictor
