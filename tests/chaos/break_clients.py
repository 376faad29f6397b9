"""Clients that do harm: some never read, one asks for very much, some say nothing."""

from __future__ import annotations

import math
import os
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from tests.chaos.material import HEIGHT, WIDTH
from tests.chaos.scenery import Scenery
from tests.support import hostile_clients

STALLED = 60
"""Connections that ask for much and read nothing: more than all API processes have threads."""

HEAVY = 20
"""Connections of the heavy client, each with a request of 64 prompts under way all the time."""

SILENT = 200
"""Connections that say nothing: more than the API processes may open files meanwhile."""

SPARE_FILES = 12
"""Files that an API process may still open while descriptors are short."""

PROMISED = 1.0
"""The most seconds that /healthz may take, and that a light client's prompt may take at p95."""

LINES_PER_SECOND = 300
"""More lines of log than the load of a run makes."""


@contextmanager
def stalled_readers(scenery: Scenery) -> Iterator[None]:
    """They ask for the largest file there is, and read nothing of it."""
    path = hostile_clients.large_file(_address(scenery), scenery.kept[0].image_id)
    with hostile_clients.stalled_readers(_address(scenery), path, STALLED):
        _watch_health(scenery, 2 * scenery.hold)
    scenery.injected.note += f" beside {STALLED} readers of {path.rpartition('/')[2]}"
    yield


@contextmanager
def heavy_client(scenery: Scenery) -> Iterator[None]:
    """It has many large requests under way on one image, while a light client prompts on another."""
    image_id = scenery.kept[0].image_id
    with hostile_clients.heavy_client(_address(scenery), image_id, (WIDTH, HEIGHT), connections=HEAVY) as answers:
        light = _prompt_lightly(scenery, 3 * scenery.hold)
    scenery.injected.note = f"{len(light)} light prompts beside {dict(answers.most_common())}"
    refused = light.count(math.inf)
    if refused > len(light) / 10:
        scenery.injected.broken.append(f"{refused} of {len(light)} light prompts were refused")
    elif (p95 := statistics.quantiles(light, n=20)[-1]) > PROMISED * scenery.slack:
        scenery.injected.broken.append(f"a light prompt took {p95:.1f} s at p95")
    for answered in answers.keys() - {"200", "503 overloaded", "503 store-unavailable", "429 rate-limited"}:
        scenery.injected.broken.append(f"the heavy client was answered {answered}")
    yield


@contextmanager
def short_of_descriptors(scenery: Scenery) -> Iterator[None]:
    """API processes may open a few more files, and very many clients connect and say nothing."""
    lines, began = scenery.stack.lines("api"), time.monotonic()
    with ExitStack() as held:
        for pid in scenery.stack.api_pids():
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            held.callback(_allow_files, pid, soft, hard)
            _allow_files(pid, len(os.listdir(f"/proc/{pid}/fd")) + SPARE_FILES, hard)
        with hostile_clients.silent_clients(_address(scenery), SILENT):
            scenery.stay()
    per_second = (scenery.stack.lines("api") - lines) / (time.monotonic() - began)
    if per_second > LINES_PER_SECOND:
        scenery.injected.broken.append(f"the log grew by {per_second:.0f} lines a second")
    yield


def _allow_files(pid: int, soft: int, hard: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def _watch_health(scenery: Scenery, seconds: float) -> None:
    end = time.monotonic() + seconds
    longest, answers = hostile_clients.watch_health(_address(scenery), lambda: time.monotonic() > end)
    for answered in answers.keys() - {"200"}:
        scenery.injected.broken.append(f"/healthz was answered {answered}")
    scenery.injected.note = f"/healthz within {longest:.2f} s"
    if longest > PROMISED * scenery.slack:
        scenery.injected.broken.append(f"/healthz took {longest:.1f} s")


def _prompt_lightly(scenery: Scenery, seconds: float) -> list[float]:
    """Seconds that each prompt took, infinite where it was refused."""
    took, until = [], time.monotonic() + seconds
    kept = scenery.kept[1]
    while time.monotonic() < until or len(took) < 2:
        began = time.monotonic()
        answer = scenery.client.checked_masks(scenery.material, kept.scene, kept.image_id, 0, wait=0)
        took.append(time.monotonic() - began if answer.status == 200 else math.inf)
        time.sleep(0.1)
    return took


def _address(scenery: Scenery) -> str:
    return urlsplit(scenery.stack.url).netloc
