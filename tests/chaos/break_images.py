"""Faults of uploads: files that are not images, and an image that kills its workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.ledger import End
from tests.chaos.material import image_id, undecodable
from tests.chaos.scenery import Scenery
from tests.support.proxy import Link, Trap


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
