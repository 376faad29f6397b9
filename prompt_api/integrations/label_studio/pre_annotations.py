"""Pre-annotations: every mask of a task's images, as regions for a task that is opened."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import BoundedSemaphore
from typing import Any

import numpy as np

from prompt_api.access.owners import Owners
from prompt_api.access.scopes import Quota
from prompt_api.everything.options import EverythingOptions, Mode
from prompt_api.integrations.asker import Asker
from prompt_api.integrations.finish import UNFINISHED, Finish
from prompt_api.integrations.label_studio.config import LabelConfigs, MaskTarget, Place
from prompt_api.integrations.label_studio.pictures import TaskPictures
from prompt_api.integrations.label_studio.regions import regions, shown_score
from prompt_api.integrations.label_studio.wire import Region, Task
from prompt_api.masks.cleaning import clean
from prompt_api.masks.given import RleMask
from prompt_api.service.everything import EverythingService, EverythingState
from shared.contract.errors import EmbeddingPending, ImageExpired, ImageNotFound, SamCacheError
from shared.contract.models import Model

OPTIONS = EverythingOptions(mode=Mode.FAST)
"""What is looked for. The fast way finds nine masks of ten in two fifths of the time."""

MAX_REGIONS = 100
"""Most regions of one prediction. A mask may be several polygons; its last ones are left out too."""

MAX_NUMBERS = 250_000
"""Most numbers in the brushes of one prediction. Label Studio sends the prediction back with each click on the task,
and the draft and the annotation that were made from it. All three together must stay below `MAX_VALUES` of a request.
"""

_NUMBERS_OF_A_POINT = 5
"""A point of a polygon counts as so many numbers, because a request may have five times more values than arrays."""

MAX_PICTURES = 8
"""Most images of one task that get pre-annotations. A task with more gets none."""

MAX_TASKS = 16
"""Most tasks of one request that get pre-annotations. Label Studio sends all tasks that were selected."""

_NO_CLICKS = np.empty((0, 2))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Search:
    """The jobs of one task: each of its images with the tag that takes the masks and the state when it was asked."""

    task: Task
    parts: list[tuple[Place, MaskTarget, EverythingState]]

    @property
    def found_nothing(self) -> bool:
        return all(state.settled and state.found == 0 and state.error is None for _, _, state in self.parts)


class PreAnnotations:
    """Finds every mask of tasks that are opened. Thread-safe."""

    def __init__(
        self,
        *,
        everything: EverythingService,
        owners: Owners,
        pictures: TaskPictures,
        model: Model,
        waiters: BoundedSemaphore,
        finish: Finish = UNFINISHED,
    ) -> None:
        """Args:
        owners: checks that a namespace still has the image that `pictures` remembers for a task.
        waiters: slots for requests that keep their thread while they wait.
        finish: how masks are cleaned and simplified.
        """
        self._everything = everything
        self._owners = owners
        self._pictures = pictures
        self._model = model
        self._waiters = waiters
        self._finish = finish

    def of(self, tasks: Sequence[Task], configs: LabelConfigs, asker: Asker, until: float) -> list[list[Region]]:
        """Return for each task the masks of all its images as regions, the best first in each image.

        A job is asked for each image and goes on when this returns, so the next request for the task finds its masks.
        No error is raised: a task must open without them.

        Args:
            until: when to stop waiting, on the clock of `time.monotonic`. No image is fetched after it, and only the
                first task gets its regions after it, so that many tasks are answered within Label Studio's time limit.

        Returns:
            For each task at most `MAX_REGIONS` regions; none if not all of its images are searched in time, if one
            cannot be, if nothing is found, or if `MAX_TASKS` other tasks come before it.
        """
        granted = self._waiters.acquire(blocking=False)
        try:
            wait = until if granted else 0.0
            searches = self._searches(tasks, configs, asker, wait)
            found: list[list[Region]] = [[] for _ in tasks]
            for number, search in searches.items():
                if not any(found) or time.monotonic() < until:
                    found[number] = self._found(search, wait)
            return found
        finally:
            if granted:
                self._waiters.release()

    def _searches(self, tasks: Sequence[Task], configs: LabelConfigs, asker: Asker, until: float) -> dict[int, _Search]:
        """Have the masks of the first tasks found that can have any. Return the jobs by the place of the task."""
        searches: dict[int, _Search] = {}
        for number, task in enumerate(tasks):
            if len(searches) == MAX_TASKS or (number >= MAX_TASKS and time.monotonic() >= until):
                break
            search = self._search(task, configs, asker, until)
            if search is not None and not search.found_nothing:
                searches[number] = search
        return searches

    def _search(self, task: Task, configs: LabelConfigs, asker: Asker, until: float) -> _Search | None:
        """Have the masks of all images of a task found. Return None if one of them cannot be searched now."""
        try:
            config = configs.of(task)
            places = list(islice(config.places(task), MAX_PICTURES + 1))
            if not 0 < len(places) <= MAX_PICTURES:
                return None
            targets = [config.any_target(place.to_name) for place in places]
            states = [self._ask(place, task, asker, until) for place in places]
        except SamCacheError as error:
            _tell(task, error)
            return None
        parts = [(place, target, state) for place, target, state in zip(places, targets, states, strict=True) if state]
        return _Search(task, parts) if len(parts) == len(places) else None

    def _found(self, search: _Search, until: float) -> list[Region]:
        """Return the regions of a task; none if not all of its images are searched in time."""
        try:
            ended = [(place, target, self._end_of(state, until)) for place, target, state in search.parts]
            if not all(state.settled and state.masks is not None for _, _, state in ended):
                return []
            found = (region for place, target, state in ended for region in self._regions(state, place, target))
            return list(_fitting(found))
        except SamCacheError as error:
            _tell(search.task, error)
            return []

    def _ask(self, place: Place, task: Task, asker: Asker, until: float) -> EverythingState | None:
        """Have the masks of an image found. Return None while the image is being fetched in the background."""
        reference = self._pictures.reachable(place.reference, task.id, asker)
        may_fetch = time.monotonic() < until
        try:
            image_id = self._pictures.image_id(reference, asker, may_fetch=may_fetch)
            try:
                self._owners.require(image_id, asker.namespace)
                return self._job(image_id, asker)
            except (ImageNotFound, ImageExpired):
                image_id = self._pictures.image_id(reference, asker, may_fetch=may_fetch, fresh=True)
                return self._job(image_id, asker)
        except EmbeddingPending:
            return None

    def _job(self, image_id: str, asker: Asker) -> EverythingState:
        def charge() -> None:
            asker.spend(Quota.UPLOADS, 1)

        charge()
        return self._everything.ask(image_id, self._model, OPTIONS, namespace=asker.namespace, charge=charge)

    def _end_of(self, state: EverythingState, until: float) -> EverythingState:
        """Return the job at its end, or as it is after the wait.

        Raises:
            SamCacheError: it failed. The next opening tries it again.
        """
        if not state.settled:
            left = max(0.0, until - time.monotonic())
            state = self._everything.wait(state.key.image_id, state.key.name, left)
        if state.error is not None:
            raise state.error
        return state

    def _regions(self, state: EverythingState, place: Place, target: MaskTarget) -> list[Region]:
        assert state.masks is not None
        height, width = state.original
        found: list[Region] = []
        for record in json.loads(state.masks.json()):
            if len(found) >= MAX_REGIONS:
                break
            runs = RleMask((height, width), record["rle"]["counts"]).runs()
            runs = clean(runs, self._finish.cleaning, _NO_CLICKS)
            score = shown_score(record["predicted_iou"])
            found += regions(runs, score, target, place.to_name, place.page, tolerance=self._finish.tolerance)
        return found


def _fitting(found: Iterable[Region]) -> Iterator[Region]:
    """Yield the first regions, as many as a prediction may have."""
    room = MAX_NUMBERS
    for region in islice(found, MAX_REGIONS):
        value: Mapping[str, Any] = region["value"]
        room -= len(value["rle"]) if "rle" in value else _NUMBERS_OF_A_POINT * len(value["points"])
        if room < 0:
            return
        yield region


def _tell(task: Task, error: SamCacheError) -> None:
    _log.info("no pre-annotations for task %s: %s: %s", task.id, error.code, error.detail)
