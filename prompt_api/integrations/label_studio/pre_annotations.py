"""Pre-annotations: every mask of a task's images, as regions for a task that is opened."""

from __future__ import annotations

import json
import logging
import time
from itertools import islice
from threading import BoundedSemaphore

import numpy as np

from prompt_api.access.owners import Owners
from prompt_api.access.scopes import Quota
from prompt_api.everything.options import EverythingOptions, Mode
from prompt_api.integrations.asker import Asker
from prompt_api.integrations.finish import UNFINISHED, Finish
from prompt_api.integrations.label_studio.config import LabelConfig, MaskTarget, Place
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

MAX_PICTURES = 8
"""Most images of one task that get pre-annotations. A task with more gets none."""

_NO_CLICKS = np.empty((0, 2))

_log = logging.getLogger(__name__)


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

    def of(self, task: Task, config: LabelConfig, asker: Asker, until: float) -> list[Region] | None:
        """Return the masks of all images of the task as regions, the best first in each image.

        A job is asked for each image and goes on when this returns, so the next opening of the task finds its masks.
        No error is raised: a task must open without them.

        Args:
            until: when to stop waiting, on the clock of `time.monotonic`.

        Returns:
            At most `MAX_REGIONS` regions; None if not all images are searched, or one cannot be.
        """
        places = list(islice(config.places(task), MAX_PICTURES + 1))
        if not 0 < len(places) <= MAX_PICTURES:
            return None
        granted = self._waiters.acquire(blocking=False)
        try:
            targets = [config.any_target(place.to_name) for place in places]
            asked = [self._ask(place, task, asker, may_fetch=granted) for place in places]
            states = [self._end_of(state, until if granted else 0.0) for state in asked]
            if any(state is None or state.masks is None for state in states):
                return None
            found = (
                region
                for place, target, state in zip(places, targets, states, strict=True)
                if state is not None
                for region in self._regions(state, place, target)
            )
            return list(islice(found, MAX_REGIONS))
        except SamCacheError as error:
            _log.info("no pre-annotations for task %s: %s: %s", task.id, error.code, error.detail)
            return None
        finally:
            if granted:
                self._waiters.release()

    def _ask(self, place: Place, task: Task, asker: Asker, *, may_fetch: bool) -> EverythingState | None:
        """Have the masks of an image found. Return None while the image is being fetched."""
        reference = self._pictures.reachable(place.reference, task.id, asker)
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

    def _end_of(self, state: EverythingState | None, until: float) -> EverythingState | None:
        """Return the job at its end, or None if it has not ended in time.

        Raises:
            SamCacheError: it failed. The next opening tries it again.
        """
        if state is not None and not state.settled:
            left = max(0.0, until - time.monotonic())
            state = self._everything.wait(state.key.image_id, state.key.name, left)
        if state is not None and state.error is not None:
            raise state.error
        return state if state is not None and state.settled else None

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
