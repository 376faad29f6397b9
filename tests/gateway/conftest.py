"""Without HAProxy the gateway's tests are skipped with that reason, unless `CI` or `EXPECT_GATEWAY` is set."""

from __future__ import annotations

import os

import pytest

from deploy.local.process import StackError
from tests.support.fleet import haproxy


@pytest.fixture(scope="session", autouse=True)
def gateway_program() -> None:
    try:
        haproxy()
    except StackError as error:
        if os.environ.get("CI") or os.environ.get("EXPECT_GATEWAY"):
            raise
        pytest.skip(str(error))
