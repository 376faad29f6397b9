"""`python -m bench.siege`: what a light client sees while others do harm all at once, with the gateway and without.

At once: readers that read nothing, connections that say nothing, and one client with many requests of 64 prompts. The
light client prompts on another image. Afterwards, the service must be as it was within ten seconds.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import resource
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import skimage.data
from PIL import Image

from bench.cores import children, memory, processor_seconds
from tests.support.fleet import Fleet
from tests.support.hostile_clients import heavy_client, large_file, silent_clients, stalled_readers, watch_health

SIZE = (1800, 1200)
"""(width, height) of both images."""

MOST_AFTERWARDS = 10.0
"""Seconds after which nothing of the siege may be left."""


_KEPT_CONNECTIONS = 40
"""Idle connections that the gateway and Redis clients keep on purpose, at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many do harm, for how many seconds, and how many seconds to wait afterwards until all is as before."""

    readers: int = 200
    silent: int = 1100
    heavy: int = 20
    seconds: float = 30.0
    afterwards: float = MOST_AFTERWARDS


@dataclass(slots=True)
class Seen:
    """What was measured.

    Attributes:
        health: seconds of the slowest answer of /healthz.
        health_answers: how often each status of /healthz came.
        light: seconds of each prompt of the light client that was answered with masks.
        refused: how often each other answer to it came.
        heavy: how often each answer to the heavy client came.
        taken_out: lines in which the gateway says that it took a replica out.
        memory: most resident memory of one replica with all its processes, in MB of 10^6 bytes.
        left: what was still there when the wait afterwards ended.
        gone: seconds after the siege until nothing of it was left.
    """

    health: float = 0.0
    health_answers: Counter[str] = field(default_factory=Counter)
    light: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    heavy: Counter[str] = field(default_factory=Counter)
    taken_out: list[str] = field(default_factory=list)
    memory: float = 0.0
    left: list[str] = field(default_factory=list)
    gone: float = 0.0

    def __str__(self) -> str:
        p95 = statistics.quantiles(self.light, n=20)[-1] if len(self.light) > 1 else float("inf")
        return "\n".join(
            [
                f"/healthz: slowest {self.health:.2f} s of {self.health_answers.total()}: {dict(self.health_answers)}",
                f"light client: {len(self.light)} prompts, median {statistics.median(self.light or [0]):.3f} s, "
                f"p95 {p95:.3f} s; refused: {dict(self.refused)}",
                f"heavy client: {dict(self.heavy.most_common())}",
                f"replicas taken out: {len(self.taken_out)}",
                f"most memory of a replica: {self.memory:.0f} MB",
                f"left {self.gone:.1f} s after it: {', '.join(self.left) or 'nothing'}",
            ]
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sieges and print them; the exit status is 0 whatever the numbers are."""
    parser = argparse.ArgumentParser(prog="python -m bench.siege", description="Let clients do harm, and measure.")
    parser.add_argument("--model", default="mobile_sam", help="the model that is served")
    parser.add_argument("--seconds", type=float, default=Plan().seconds, help="length of each siege")
    options = parser.parse_args(arguments)
    plan = Plan(seconds=options.seconds)
    with Fleet(2, settings={"SAM_MODEL": options.model}) as fleet:
        replica = fleet.replicas[0]
        for name, address in (("gateway", urlsplit(fleet.url).netloc), ("replica", fleet.address_of(replica))):
            print(f"--- the {name}: {plan.readers} readers, {plan.silent} silent, {plan.heavy} heavy connections")
            print(siege(fleet, address, plan), flush=True)
    return 0


def siege(fleet: Fleet, address: str, plan: Plan) -> Seen:
    """Let all do harm to `address` at once, and return what was seen meanwhile and afterwards."""
    _open_many_files()
    seen = Seen()
    out_before = len(fleet.taken_out())
    heavy_image, light_image = (_upload(address, shift) for shift in (0, 1))
    for number in range(4):
        _prompt(address, light_image, number)
    before = _state(fleet)
    with _measured_memory(fleet, seen), ExitStack() as harm:
        path = large_file(address, heavy_image)
        harm.enter_context(stalled_readers(address, path, plan.readers))
        harm.enter_context(silent_clients(address, plan.silent))
        seen.heavy = harm.enter_context(heavy_client(address, heavy_image, SIZE, connections=plan.heavy))
        end = time.monotonic() + plan.seconds
        health = threading.Thread(target=_watch, args=(address, end, seen))
        health.start()
        number = 0
        while time.monotonic() < end:
            began = time.monotonic()
            status, content = _prompt(address, light_image, number)
            number += 1
            if status == 200:
                seen.light.append(time.monotonic() - began)
            else:
                seen.refused[f"{status} {json.loads(content)['code']}"] += 1
            time.sleep(0.1)
        health.join()
    ended = time.monotonic()
    while True:
        seen.left = _left(before, _state(fleet))
        seen.gone = time.monotonic() - ended
        if not seen.left or seen.gone > plan.afterwards:
            break
    seen.taken_out = fleet.taken_out()[out_before:]
    return seen


def _watch(address: str, end: float, seen: Seen) -> None:
    seen.health, seen.health_answers = watch_health(address, lambda: time.monotonic() > end)


@contextmanager
def _measured_memory(fleet: Fleet, seen: Seen) -> Iterator[None]:
    stop = threading.Event()

    def measure() -> None:
        while not stop.wait(0.2):
            for pid in fleet.pids["replicas"]:
                seen.memory = max(seen.memory, sum(memory(process).now for process in _family(pid)))

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _family(pid: int) -> Iterable[int]:
    yield pid
    for child in children(pid):
        yield from _family(child)


@dataclass(frozen=True, slots=True)
class _State:
    """Sums over the replicas: open files, and seconds of processor time used in one second of rest."""

    files: int
    busy: float


def _state(fleet: Fleet) -> _State:
    pids = [process for pid in fleet.pids["replicas"] for process in _family(pid)]
    files = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
    before = sum(processor_seconds(pid) for pid in pids)
    time.sleep(1.0)
    return _State(files, sum(processor_seconds(pid) for pid in pids) - before)


def _left(before: _State, after: _State) -> list[str]:
    left = []
    if (more := after.files - before.files) > _KEPT_CONNECTIONS:
        left.append(f"{more} open files")
    if after.busy - before.busy > 0.2:
        left.append(f"{after.busy:.2f} cores busy")
    return left


def _upload(address: str, shift: int) -> str:
    pixels = np.roll(np.asarray(Image.fromarray(skimage.data.astronaut()).resize(SIZE)), 40 * shift, axis=1)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=85)
    status, answer = _asked(address, "POST", "/v1/images?wait=30", content.getvalue())
    document: dict[str, Any] = json.loads(answer)
    if status != 200:
        raise RuntimeError(f"the service did not encode an image within 30 s: {document}")
    return str(document["image_id"])


def _prompt(address: str, image_id: str, number: int) -> tuple[int, bytes]:
    point = [(97 * number) % SIZE[0], (61 * number) % SIZE[1]]
    body = json.dumps({"prompts": [{"points": [point], "labels": [1]}]}).encode()
    return _asked(address, "POST", f"/v1/images/{image_id}/masks", body)


def _asked(address: str, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, target, body, {"Host": "localhost"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _open_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
