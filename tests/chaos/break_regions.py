"""Faults of regions: a worker is killed while it encodes one; some are evicted; an image is deleted under them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared.contract.keys import EmbeddingKey, regions_key
from shared.contract.models import find_model
from shared.contract.region import Region
from tests.chaos.commands import begun
from tests.chaos.material import HEIGHT, WIDTH, Scene
from tests.chaos.scenery import Scenery
from tests.support.proxy import Link, Trap

_SOON = 60.0

_READY_SECONDS = 30.0
"""The longest that a region may take after its worker was killed, counted from the kill."""

_PAUSE = 0.2

_QUIET_SECONDS = 2.0
"""After which no job of a deleted image runs any more, unless one lasts longer than this."""


@contextmanager
def kill_worker_mid_region(scenery: Scenery) -> Iterator[None]:
    """Kill a worker while it encodes a region. Another one must encode it, and the answer must be right."""
    scene, name = scenery.new_image()
    links: list[Link] = []
    trap = Trap(begun(name), hold=False, on_spring=links.append)
    with scenery.stack.trapped(trap, "cache"):
        scenery.client.masks(name, scene.questions[scene.regional])
        if not trap.sprung.wait(_SOON):
            raise TimeoutError("no worker began to encode the region")
        time.sleep(scenery.encoding / 2)
        scenery.stack.kill_worker_of(links[0])
    killed = time.monotonic()
    took = _seconds_until_answered(scenery, scene, name, killed + _SOON) - killed
    scenery.injected.note = f"the region ready after {took:.1f} s"
    if took > _READY_SECONDS * scenery.slack:
        scenery.injected.broken.append(f"a region whose worker was killed was ready after {took:.0f} s")
    yield


@contextmanager
def evict_regions(scenery: Scenery) -> Iterator[None]:
    """Delete the embeddings of the kept images' regions, and the rows that name them, as an eviction does.

    Each must be encoded again, which the route of embeddings shows: it does not use the API's memory.
    """
    client = scenery.stack.cache.client
    for kept in scenery.kept:
        client.unlink(_key(scenery, kept.scene, kept.image_id).redis_key, regions_key(kept.image_id))
    until = time.monotonic() + _SOON
    for kept in scenery.kept:
        while scenery.client.embedding(kept.image_id, kept.scene.region).status != 200:
            if time.monotonic() > until:
                scenery.injected.broken.append(f"a region of image {kept.image_id[:12]} was not encoded again")
                break
            time.sleep(_PAUSE)
        _seconds_until_answered(scenery, kept.scene, kept.image_id, until)
    yield
    _delete_unnoticed(scenery)


@contextmanager
def delete_while_regions_encode(scenery: Scenery) -> Iterator[None]:
    """Delete an image whose regions wait and are encoded. Nothing of it may stay or answer. Then it comes back."""
    scene, name = scenery.new_image()
    columns = [[left, 0, left + WIDTH // 2, HEIGHT] for left in range(0, WIDTH // 2, WIDTH // 8)]
    scenery.client.regions(name, [*columns, scene.region])
    scenery.client.delete(name)
    _require_gone(scenery, scene, name)
    time.sleep(max(_QUIET_SECONDS, 4 * scenery.encoding))
    left = sorted(key.decode() for key in scenery.stack.cache.client.scan_iter(f"sam:*{name}*"))
    if left:
        scenery.injected.broken.append(f"of a deleted image with regions there is still {', '.join(left)}")
    yield


def _delete_unnoticed(scenery: Scenery) -> None:
    """Delete an image whose regions the service has forgotten. None of them may answer."""
    scene, name = scenery.new_image()
    _seconds_until_answered(scenery, scene, name, time.monotonic() + _SOON)
    scenery.stack.cache.client.unlink(regions_key(name))
    scenery.client.delete(name)
    _require_gone(scenery, scene, name)


def _require_gone(scenery: Scenery, scene: Scene, name: str) -> None:
    answer = scenery.client.masks(name, scene.questions[scene.regional])
    if not answer.gone:
        scenery.injected.broken.append(f"a region of a deleted image was answered {answer.status} {answer.code}")


def _seconds_until_answered(scenery: Scenery, scene: Scene, name: str, until: float) -> float:
    """Ask until the region answers, and return the time. The answer is compared with the right one."""
    while time.monotonic() < until:
        if scenery.client.checked_masks(scenery.material, scene, name, scene.regional, wait=1).status == 200:
            break
    else:
        scenery.injected.broken.append(f"a region of image {name[:12]} was not answered any more")
    return time.monotonic()


def _key(scenery: Scenery, scene: Scene, name: str) -> EmbeddingKey:
    return EmbeddingKey.of(name, find_model(scenery.model), Region(*scene.region))
