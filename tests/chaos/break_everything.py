"""Faults of everything jobs: a mask worker is killed or stopped, an image is deleted, found masks are evicted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from deploy.local.process import Child
from prompt_api.everything.job.key import EverythingKey
from prompt_api.everything.options import EverythingOptions
from shared.contract.models import find_model
from tests.chaos.commands import TOLD
from tests.chaos.ledger import End, Search
from tests.chaos.material import EVERYTHING, Scene
from tests.chaos.scenery import Scenery
from tests.chaos.stack import MASKS
from tests.support.proxy import Link, Trap

_SOON = 90.0
"""Seconds after which a fault is given up: a mask worker stands back behind all that keeps the machine busy."""

_READY_SECONDS = 30.0
"""The longest that a job may take after its mask worker was killed, counted from the kill."""

_BETWEEN_SIGNALS = 1.5
"""RQ takes two signals within a second for one."""

_PAUSE = 0.2
_LINES = 20

_EVICTED = 4
"""Of so many images the masks are evicted."""


@contextmanager
def kill_mask_worker(scenery: Scenery) -> Iterator[None]:
    """Kill the mask worker in the middle of a job. The next one must begin it again, and find the same masks."""
    scene, name = scenery.new_image()
    search = _in_the_middle(scenery, name, hold=True, then=scenery.stack.kill_worker_of)
    killed = time.monotonic()
    _require_masks(scenery, scene, search)
    _require_once(scenery, name)
    took = time.monotonic() - killed
    scenery.injected.note = f"its masks found after {took:.1f} s"
    if took > _READY_SECONDS * scenery.slack:
        scenery.injected.broken.append(f"a job whose mask worker was killed was done after {took:.0f} s")
    yield


@contextmanager
def stop_mask_worker(scenery: Scenery) -> Iterator[None]:
    """Tell the mask worker to stop: once, and it ends its job first; then twice, and it hands its job back."""
    for twice in (False, True):
        scene, name = scenery.new_image()
        told: list[Child] = []
        search = _in_the_middle(scenery, name, hold=twice, then=partial(_tell_to_stop, scenery, told))
        (child,) = told
        if twice and not child.wait(_BETWEEN_SIGNALS):
            scenery.stack.stop_mask_worker()
        if not child.wait(_SOON):
            raise TimeoutError("a mask worker that was told to stop did not end")
        if child.exit_code != 0:
            scenery.injected.broken.append(f"a mask worker that was told to stop ended with status {child.exit_code}")
        _require_masks(scenery, scene, search)
        _require_once(scenery, name)
    yield


@contextmanager
def delete_while_masks_are_sought(scenery: Scenery) -> Iterator[None]:
    """Delete an image in the middle of its job. Nothing of it may stay, and the mask worker goes on with the next."""
    scene, name = scenery.new_image()
    until = time.monotonic() + _SOON
    trap = Trap(TOLD, hold=True, wants=name.__eq__)
    with scenery.stack.trapped(trap, "cache", MASKS):
        while (answer := scenery.client.search(name)).status != 202:
            if time.monotonic() > until:
                raise TimeoutError(f"an everything job was answered {answer.status} {answer.code} without a fault")
            time.sleep(_PAUSE)
        _wait_for(scenery, trap)
    while scenery.client.delete(name).status not in (204, 404) and time.monotonic() < until:
        time.sleep(_PAUSE)
    job = scenery.client.job(name, answer.document["job"])
    if not job.gone:
        scenery.injected.broken.append(f"the job of a deleted image was answered {job.status} {job.code}")
    scene, other = scenery.new_image()
    search = scenery.load.search(scenery.client, other)
    assert search is not None
    _require_masks(scenery, scene, search)
    left = sorted(key.decode() for key in scenery.stack.cache.client.scan_iter(f"sam:*{name}*"))
    if left:
        scenery.injected.broken.append(f"of an image that was deleted during its job there is still {', '.join(left)}")
    yield


@contextmanager
def evict_masks(scenery: Scenery) -> Iterator[None]:
    """Delete masks that were found, as an eviction does. Whoever looks has them found again, once."""
    asked = []
    for kept in scenery.kept[:_EVICTED]:
        search = scenery.load.search(scenery.client, kept.image_id)
        if search is not None:  # otherwise the load uploads the image again
            _require_masks(scenery, kept.scene, search)
            asked.append((kept, search))
    model, options = find_model(scenery.model), EverythingOptions.of(dict(EVERYTHING))
    before = scenery.stack.searches.copy()
    for kept, _ in asked:
        scenery.stack.cache.client.unlink(EverythingKey.of(kept.image_id, model, options).result_key)
    for kept, search in asked:
        again = scenery.ledger.acknowledge_search(kept.image_id, search.job)
        _require_masks(scenery, kept.scene, again)
        count = scenery.stack.searches[kept.image_id] - before[kept.image_id]
        if count != 1:
            scenery.injected.broken.append(f"masks that were evicted were found {count} times again")
    scenery.injected.note = f"those of {len(asked)} images"
    yield


def _in_the_middle(scenery: Scenery, name: str, *, hold: bool, then: Callable[[Link], None]) -> Search:
    """Ask for every mask of the image. `then` is called while the mask worker tells its progress for the first time.

    Args:
        hold: the mask worker gets no reply to that, so it stays there until its time-out (5 s).
    """
    trap = Trap(TOLD, hold=hold, wants=name.__eq__, on_spring=then)
    with scenery.stack.trapped(trap, "cache", MASKS):
        search = scenery.load.search(scenery.client, name)
        assert search is not None
        _wait_for(scenery, trap)
    return search


def _tell_to_stop(scenery: Scenery, told: list[Child], _: Link) -> None:
    told.append(scenery.stack.stop_mask_worker())


def _wait_for(scenery: Scenery, trap: Trap) -> None:
    if not trap.sprung.wait(_SOON):
        said = "\n".join(scenery.stack.log(MASKS)[-_LINES:])
        raise TimeoutError(f"the mask worker did not reach the middle of a job; its last lines:\n{said}")


def _require_masks(scenery: Scenery, scene: Scene, search: Search) -> None:
    """Follow the job to its masks, which are compared with the right ones."""
    scenery.load.follow_search(scenery.client, scene, search)
    if search.end is not End.READY:
        scenery.injected.broken.append(f"an everything job ended {search.end} {search.error or ''}".rstrip())


def _require_once(scenery: Scenery, name: str) -> None:
    """Its mask worker ended before it stored masks, or stored them: no other one may store them again."""
    count = scenery.stack.searches[name]
    if count != 1:
        scenery.injected.broken.append(f"the masks of image {name[:12]} were stored {count} times")
