"""The last worker of a model stops, and another one comes: what the service and the command line say meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from samcache.cli.main import main
from tests.support.stack import ObservedStack
from tests.support.workers import WorkerProcess
from tests.support.world import png

SAID_WITHIN = 30.0
GONE_WITHIN = 10.0


@pytest.fixture(scope="module")
def stack() -> Iterator[ObservedStack]:
    """Start a service without any worker: the tests start and stop their own."""
    with ObservedStack({"SAM_MODEL": "fake"}, workers=0) as stack:
        yield stack


@pytest.fixture
def worker(stack: ObservedStack) -> Iterator[WorkerProcess]:
    with WorkerProcess(stack.valkey_url, stack.queue_url) as worker:
        yield worker


def until(say: Callable[[], object], expected: object, seconds: float) -> None:
    """Ask until the answer is the expected one, for at most so many seconds."""
    deadline = time.monotonic() + seconds
    while (said := say()) != expected:
        assert time.monotonic() < deadline, f"after {seconds} s it still says {said!r}, not {expected!r}"
        time.sleep(0.1)


def test_a_service_that_never_had_a_worker_says_so_from_its_start(
    stack: ObservedStack, capsys: pytest.CaptureFixture[str]
) -> None:
    without_any = ["workers of fake", "mask workers of fake"]
    until(lambda: httpx.get(f"{stack.url}/readyz").json()["degraded"], without_any, GONE_WITHIN)
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    answer = httpx.post(f"{stack.url}/v1/images", content=png(41, 40))
    assert (answer.status_code, answer.json()["workers"]) == (202, 0)
    assert main(["status", "--url", stack.url, answer.json()["image_id"]]) == 0
    assert "no worker of fake is alive: images wait until one is started" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
def test_when_the_last_worker_is_gone_everybody_says_so_until_one_is_back(
    stack: ObservedStack, worker: WorkerProcess, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    def readiness() -> object:
        degraded = httpx.get(f"{stack.url}/readyz").json()["degraded"]
        return [name for name in degraded if not name.startswith("mask")]  # there is no mask worker here

    def workers() -> object:
        return [model["workers"] for model in httpx.get(f"{stack.url}/v1/models").json()["models"]]

    def command_line() -> object:
        assert main(["status", "--url", stack.url]) == 0
        return "without workers of fake" in capsys.readouterr().out

    def everywhere(missing: bool, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        until(readiness, ["workers of fake"] if missing else [], deadline - time.monotonic())
        until(workers, [0] if missing else [1], deadline - time.monotonic())
        until(command_line, missing, deadline - time.monotonic())

    worker.start()
    everywhere(missing=False, seconds=GONE_WITHIN)
    worker.send(number)
    everywhere(missing=True, seconds=SAID_WITHIN)
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    worker.start()
    everywhere(missing=False, seconds=GONE_WITHIN)


def test_a_client_that_waits_is_told_why_and_in_time(
    stack: ObservedStack, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png(43, 42))
    until(lambda: httpx.get(f"{stack.url}/v1/models").json()["models"][0]["workers"], 0, SAID_WITHIN)
    assert main(["upload", "--url", stack.url, "--timeout", "3", str(photo)]) == 1
    said = capsys.readouterr().err
    assert "no worker of fake is alive: images wait until one is started" in said
    assert "still queued after all the time given: no worker of fake is alive" in said
