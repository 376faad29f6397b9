"""Faults of the workers, of the processes that decode for them, and of the API: killed, frozen, with a wrong clock."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shared.contract.keys import EmbeddingKey
from shared.contract.models import find_model
from tests.chaos import decoders
from tests.chaos.commands import LOADED
from tests.chaos.scenery import Break, Scenery
from tests.chaos.stack import BATCHING, NOTHING, WORKERS
from tests.support.proxy import Link, Trap

_SOON = 60.0

_DECODING_SECONDS = 10
"""That decoding one image may take, for a worker whose process is stopped until then. The default is 120 s."""


def kill_worker(request: re.Pattern[bytes], role: str, *, reply: re.Pattern[bytes] | None = None) -> Break:
    """Send SIGKILL to a worker that waits for the reply to `request`. The reply never reaches it."""

    @contextmanager
    def inject(scenery: Scenery) -> Iterator[None]:
        wants = scenery.ledger.is_under_way
        trap = Trap(request, reply, hold=True, wants=wants, on_spring=scenery.stack.kill_worker_of)
        with scenery.stack.trapped(trap, role):
            _sprung_by_an_upload(scenery, trap)
            scenery.injected.strike(trap.victim)
        yield

    return inject


@contextmanager
def kill_worker_mid_encode(scenery: Scenery) -> Iterator[None]:
    links: list[Link] = []
    trap = Trap(LOADED, hold=False, wants=scenery.ledger.is_under_way, on_spring=links.append)
    with scenery.stack.trapped(trap, "cache"):
        _sprung_by_an_upload(scenery, trap)
        time.sleep(scenery.encoding / 2)
        scenery.stack.kill_worker_of(links[0])
        scenery.injected.strike(trap.victim)
    yield


@contextmanager
def kill_the_only_worker(scenery: Scenery) -> Iterator[None]:
    """Kill the only running worker. The others are stopped first and started again once the image is ready."""
    with scenery.stack.alone(BATCHING):
        with kill_worker_mid_encode(scenery):
            scenery.ledger.wait_for_end(scenery.injected.victim, _SOON)
        yield


@contextmanager
def freeze_worker(scenery: Scenery) -> Iterator[None]:
    """Freeze a worker during a job for longer than its lease, then let it continue."""
    links: list[Link] = []
    trap = Trap(LOADED, hold=False, wants=scenery.ledger.is_under_way, on_spring=links.append)
    with scenery.stack.trapped(trap, "cache"):
        _sprung_by_an_upload(scenery, trap)
    number = int(links[0].name.split()[1])
    scenery.stack.freeze_worker(number)
    scenery.injected.strike(trap.victim)
    try:
        scenery.ledger.wait_for_end(trap.victim, _SOON)
    finally:
        scenery.stack.thaw_worker(number)
    yield


@contextmanager
def kill_decoder(scenery: Scenery) -> Iterator[None]:
    """Kill a process in the middle of an image, as the kernel does when memory runs out. Its worker must go on."""
    with scenery.worker_goes_on():
        os.kill(_decoder_in_mid_image(scenery), signal.SIGKILL)
        scenery.ledger.wait_for_end(scenery.injected.victim, _SOON)
    yield


@contextmanager
def stop_decoder(scenery: Scenery) -> Iterator[None]:
    """Stop a process in the middle of an image for a while. Then it must go on, and so must its worker."""
    with scenery.worker_goes_on():
        pid = _decoder_in_mid_image(scenery)
        scenery.stay()
        decoders.go_on(pid)
        scenery.ledger.wait_for_end(scenery.injected.victim, _SOON)
    if decoders.has_ended(pid):
        scenery.injected.broken.append("a process that had stopped for a while did not go on")
    yield


@contextmanager
def stop_decoder_for_good(scenery: Scenery) -> Iterator[None]:
    """Stop a process in the middle of an image. The worker must end it after the time limit, and begin again."""
    _replace_batching_worker(scenery, {"SAM_JOB_TIMEOUT": str(_DECODING_SECONDS)})
    try:
        with scenery.worker_goes_on():
            pid = _decoder_in_mid_image(scenery)
            scenery.ledger.wait_for_end(scenery.injected.victim, _SOON)
        if not decoders.has_ended(pid):
            decoders.go_on(pid)
            scenery.injected.broken.append("a process that hung was not ended")
        yield
    finally:
        _replace_batching_worker(scenery)


@contextmanager
def kill_worker_mid_decode(scenery: Scenery) -> Iterator[None]:
    """Kill a worker while a process decodes for it. The process must end too, as `run` checks after each fault."""
    pid = _decoder_in_mid_image(scenery)
    scenery.stack.kill_worker(BATCHING)
    decoders.go_on(pid)
    scenery.ledger.wait_for_end(scenery.injected.victim, _SOON)
    yield


NONSENSE = {
    "created_at": b"nonsense",
    "data": b"\xff\xfe",
    "status": b"no such status",
    "timeout": b"nonsense",
    "meta": b"{",
    "origin": b"\xff",
}


@contextmanager
def damaged_job(scenery: Scenery) -> Iterator[None]:
    """Jobs that nobody can read wait, run and are lost, as far as Redis says; then a worker is killed in mid-encode."""
    client, queue = scenery.stack.queue.client, EmbeddingKey.of("0" * 64, find_model(scenery.model)).queue
    waiting, running, popped = f"rq:queue:{queue}", f"rq:wip:{queue}", f"rq:queue:{queue}:intermediate"
    hashed, text = f"{queue}-damaged", f"{queue}-text"
    client.hset(f"rq:job:{hashed}", mapping=NONSENSE)
    client.set(f"rq:job:{text}", b"no hash at all")
    for job in (hashed, text, f"{queue}-absent"):
        client.rpush(waiting, job)
        client.rpush(popped, job)
        client.zadd(running, {f"{job}:execution": 1, job: 1})
    try:
        with kill_worker_mid_encode(scenery):
            scenery.ledger.wait_for_end(scenery.injected.victim, _SOON)
            yield
    finally:
        client.delete(f"rq:job:{hashed}", f"rq:job:{text}")
        for job in (hashed, text, f"{queue}-absent"):
            client.lrem(waiting, 0, job)
            client.lrem(popped, 0, job)
            client.zrem(running, f"{job}:execution", job)


def shift_clock(seconds: int) -> Break:
    """Run one of the workers with a clock that is wrong by `seconds`."""
    script = str(Path(__file__).with_name("shifted_worker.py"))

    @contextmanager
    def inject(scenery: Scenery) -> Iterator[None]:
        scenery.stack.replace_worker(WORKERS, (script, str(seconds)))
        scenery.stack.wait_for_worker(WORKERS)
        try:
            scenery.stay()
            yield
        finally:
            scenery.stack.replace_worker(WORKERS)
            scenery.stack.wait_for_worker(WORKERS)

    return inject


@contextmanager
def kill_api(scenery: Scenery) -> Iterator[None]:
    before = scenery.stack.api_pids()
    scenery.stack.kill_api()
    deadline = time.monotonic() + _SOON
    while len(set(scenery.stack.api_pids()) - set(before)) == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    yield


def _decoder_in_mid_image(scenery: Scenery) -> int:
    """Upload large photos until a process is stopped in the middle of one, and return its id."""
    deadline = time.monotonic() + _SOON
    while time.monotonic() < deadline:
        upload = scenery.upload_large()
        pid = decoders.stopped_in_mid_image(scenery.stack.decoders, upload, deadline)
        if pid is not None:
            scenery.injected.strike(upload.image_id)
            return pid
        # The worker that takes one image at a time has decoded it.
    raise TimeoutError(f"no process decoded a large photo ({scenery.injected.name})")


def _replace_batching_worker(scenery: Scenery, settings: Mapping[str, str] = NOTHING) -> None:
    scenery.stack.replace_worker(BATCHING, settings=settings)
    scenery.stack.wait_for_worker(BATCHING)


def _sprung_by_an_upload(scenery: Scenery, trap: Trap) -> None:
    """Upload an image. Return once the trap has sprung, for this image or for one of the load."""
    data = scenery.material.fresh(scenery.dice.choice(scenery.material.scenes))
    upload = scenery.load.upload(scenery.client, data)
    assert upload is not None
    scenery.load.follow_beside(upload)
    if not trap.sprung.wait(_SOON):
        raise TimeoutError(f"no worker reached the point of the fault ({scenery.injected.name})")
