"""Faults of uploads: files that are not images, and images that kill a worker, or the process that decodes them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared.contract.settings import Settings
from tests.chaos import decoders
from tests.chaos.ledger import End, Upload
from tests.chaos.material import image_id, undecodable
from tests.chaos.scenery import Scenery
from tests.chaos.stack import BATCHING
from tests.support.proxy import Link, Trap

_SOON = 60.0

_ATTEMPTS = 1 + Settings().job_retries

_ROOM = 60_000_000
"""Bytes that a process may have to decode: enough for a scene, and half of what the pixels of a large photo take."""


@contextmanager
def files_that_are_no_images(scenery: Scenery) -> Iterator[None]:
    """Upload files that are not images. Each must be refused at once or fail with a reason."""
    refused = []
    for what, data in undecodable(scenery.dice.choice(scenery.material.scenes)).items():
        answer = scenery.client.upload(data)
        if answer.status in (200, 202):
            scenery.load.follow_beside(scenery.ledger.acknowledge(image_id(data), poison=True))
        elif answer.code is None:
            scenery.injected.broken.append(f"a file that is no image ({what}) was answered {answer.status}")
        else:
            refused.append(answer.code)
    scenery.injected.note = f"{len(refused)} refused"
    yield


@contextmanager
def deadly_image(scenery: Scenery) -> Iterator[None]:
    """Kill each worker that takes this image, as the kernel does when memory runs out."""
    data = scenery.material.fresh(scenery.dice.choice(scenery.material.scenes))
    name = image_id(data)
    deaths: list[Link] = []

    def die(link: Link) -> None:
        deaths.append(link)
        scenery.stack.kill_worker_of(link)

    request = re.compile(rb"GET\r\n\$\d+\r\nsam:image:[^\r\n]*" + name.encode())
    with scenery.stack.trapped(Trap(request, hold=True, once=False, on_spring=die), "cache"):
        upload = scenery.load.upload(scenery.client, data, poison=True)
        assert upload is not None
        scenery.load.follow(scenery.client, upload)
    scenery.injected.note = f"{len(deaths)} workers killed by it"
    if upload.end is not End.FAILED:
        scenery.injected.broken.append(f"an image that kills its workers ended {upload.end}")
    yield


@contextmanager
def crashing_image(scenery: Scenery) -> Iterator[None]:
    """Crash each process that decodes this image. That must cost the worker nothing, and other images nothing."""
    with scenery.stack.alone(BATCHING):
        upload, deadline, crashes = scenery.upload_large(), time.monotonic() + _SOON, 0
        with scenery.worker_goes_on():
            while (pid := decoders.stopped_in_mid_image(scenery.stack.decoders, upload, deadline)) is not None:
                decoders.crash(pid)
                crashes += 1
        scenery.injected.note = f"{crashes} processes crashed by it"
        upload.poison = crashes == _ATTEMPTS  # on a busy machine an attempt may be over before it is seen
        expected = (End.FAILED, "encode-failed") if upload.poison else (End.READY, None)
        _require_end(scenery, upload, *expected)
    yield


@contextmanager
def image_beyond_memory(scenery: Scenery) -> Iterator[None]:
    """Give the processes that decode too little memory for this image. Others must be encoded meanwhile."""
    with (
        scenery.stack.alone(BATCHING),
        scenery.worker_goes_on(),
        decoders.short_of_memory(scenery.stack.decoders(), _ROOM),
    ):
        upload = scenery.upload_large()
        upload.poison = True
        scenery.ledger.wait_for_end(upload.image_id, _SOON)
        _require_end(scenery, upload, End.FAILED, "overloaded")
        yield


def _require_end(scenery: Scenery, upload: Upload, end: End, code: str | None) -> None:
    if (upload.end, upload.error) != (end, code):
        ended, expected = f"{upload.end} {upload.error}", f"{end} {code}"
        scenery.injected.broken.append(f"an image that its process could not decode ended {ended}, not {expected}")
