"""The use case of the ML backend: it answers tasks with predictions."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Literal

from prompt_api.access.owners import Owners
from prompt_api.access.scopes import Quota
from prompt_api.integrations.asker import Asker
from prompt_api.integrations.finish import UNFINISHED, Finish
from prompt_api.integrations.label_studio.config import LabelConfig, LabelConfigs
from prompt_api.integrations.label_studio.pictures import TaskPictures
from prompt_api.integrations.label_studio.pre_annotations import PreAnnotations
from prompt_api.integrations.label_studio.prompting import Interaction, interaction
from prompt_api.integrations.label_studio.regions import regions, shown_score
from prompt_api.integrations.label_studio.wire import Prediction, PredictRequest, Region, Task
from prompt_api.masks.runs import ColumnRuns
from prompt_api.service.images import ImageService, ImageState, ImageStatus
from prompt_api.service.masks import MaskAnswer, MasksAnswer, MaskService
from prompt_api.service.prompts import AUTO, ImagePrompt, MasksQuery
from shared.contract.errors import EmbeddingPending, ImageExpired, ImageNotFound, InvalidPrompt
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model
from shared.observe.stages import Stages

PATIENCE = 25.0
"""Longest wait of an annotator's first click for the encoding, in seconds. Label Studio waits 100, proxies often 60."""

_log = logging.getLogger(__name__)


class LabelStudioBackend:
    """Answers Label Studio for one model."""

    def __init__(
        self,
        *,
        images: ImageService,
        masks: MaskService,
        owners: Owners,
        pictures: TaskPictures,
        model: Model,
        waiters: BoundedSemaphore,
        regions_above: int = 0,
        finish: Finish = UNFINISHED,
        pre_annotations: PreAnnotations | None = None,
    ) -> None:
        """Args:
        owners: checks that a namespace still has the image that `pictures` remembers for a task.
        waiters: slots for requests that keep their thread while they wait.
        regions_above: pictures whose longer side has more pixels than this are answered from the region that suits
            what was drawn; 0: none are.
        finish: how masks are cleaned and simplified.
        pre_annotations: finds every mask of a task that is opened; None: nothing does.
        """
        self._images = images
        self._masks = masks
        self._owners = owners
        self._pictures = pictures
        self._model = model
        self._waiters = waiters
        self._regions_above = regions_above
        self._finish = finish
        self._pre_annotations = pre_annotations

    @property
    def model_name(self) -> str:
        return self._model.name

    @property
    def model_version(self) -> str:
        """Names the model and its weights. Label Studio stores it with each prediction."""
        return f"{self._model.name}-{self._model.weights_digest[:12]}"

    def predict(self, request: PredictRequest, asker: Asker) -> list[Prediction | list[Prediction]]:
        """Return one prediction if the annotator has drawn something. Otherwise encode the tasks' images ahead of time.

        If there are pre-annotations, tasks without a context get every mask of their images, as far as these are found
        within `PATIENCE`. A task without any gets an empty answer, so that Label Studio stores nothing and asks again.

        The prediction is empty if the image is not encoded after `PATIENCE` seconds, or if no thread may wait for it.
        The next click then usually finds it encoded. On a large picture the rest of `PATIENCE` is for the region that
        suits what was drawn. If the region is not encoded by then, the prediction is that of the whole picture.

        Raises:
            InvalidPrompt: the request, the label config and the task do not fit together.
            ImageUnreachable, UnsupportedImage, InvalidImage, ImageTooLarge, EncodeFailed: the image cannot be fetched
                or encoded.
            RateLimited, Overloaded, StoreUnavailable: nothing is wrong with the request; try again later.
        """
        context = request.params.context if request.params else None
        drawn = interaction(context.result) if context else None
        asker.spend(Quota.PROMPTS, drawn.count if drawn else 1)
        configs = LabelConfigs(request.label_config)
        if context is None:
            found = self._pre_annotated(request.tasks, configs, asker)
            # After the pre-annotations, which fetch the images themselves.
            pictures = ((task, one) for task in request.tasks for one in configs.of(task).pictures(task))
            self._pictures.warm((self._pictures.reachable(one, task.id, asker) for task, one in pictures), asker)
            return found
        if len(request.tasks) != 1:
            raise InvalidPrompt("a context belongs to one task")
        (task,) = request.tasks
        return [self._prediction(self._interactive(task, configs.of(task), drawn, asker) if drawn else [])]

    def close(self) -> None:
        self._pictures.close()

    def _pre_annotated(
        self, tasks: Sequence[Task], configs: LabelConfigs, asker: Asker
    ) -> list[Prediction | list[Prediction]]:
        if self._pre_annotations is None:
            return [[] for _ in tasks]
        found = self._pre_annotations.of(tasks, configs, asker, time.monotonic() + PATIENCE)
        return [self._prediction(regions) if regions else [] for regions in found]

    def _prediction(self, found: list[Region]) -> Prediction:
        score = min((region["score"] for region in found), default=0.0)
        return {"model_version": self.model_version, "score": score, "result": found}

    def _interactive(self, task: Task, config: LabelConfig, drawn: Interaction, asker: Asker) -> list[Region]:
        reference = self._pictures.reachable(config.picture(task, drawn.to_name, drawn.page), task.id, asker)
        until = time.monotonic() + PATIENCE
        try:
            state = self._settled(reference, asker)
            if state.error is not None:
                raise state.error
            if state.status is ImageStatus.READY:
                return self._regions(state, drawn, config, asker, until)
        except EmbeddingPending:  # the image is still being fetched, or its embedding was just lost and is queued again
            pass
        _log.info("the image of task %s is not encoded yet; no region", task.id)
        return []

    def _settled(self, reference: str, asker: Asker) -> ImageState:
        with self._thread_to_wait() as granted:
            seconds = PATIENCE if granted else 0.0
            try:
                image_id = self._pictures.image_id(reference, asker, may_fetch=granted)
                self._owners.require(image_id, asker.namespace)
                return self._images.wait(EmbeddingKey.of(image_id, self._model), seconds)
            except (ImageNotFound, ImageExpired):
                image_id = self._pictures.image_id(reference, asker, may_fetch=granted, fresh=True)
                return self._images.wait(EmbeddingKey.of(image_id, self._model), seconds)

    @contextmanager
    def _thread_to_wait(self) -> Iterator[bool]:
        """Whether this request may keep its thread while it waits inside the block."""
        granted = self._waiters.acquire(blocking=False)
        try:
            yield granted
        finally:
            if granted:
                self._waiters.release()

    def _regions(
        self, state: ImageState, drawn: Interaction, config: LabelConfig, asker: Asker, until: float
    ) -> list[Region]:
        asked = drawn.prompts(state.original)
        targets = [config.target(drawn.to_name, label) for _, label in asked]
        if not asked:
            return []
        prompts = [prompt for prompt, _ in asked]
        large = 0 < self._regions_above < max(state.original)
        results = self._finest(state, prompts, asker, until) if large else self._answer(state, prompts, asker).results
        found: list[Region] = []
        for masks, target in zip(results, targets, strict=True):
            best: MaskAnswer = max(masks, key=lambda mask: mask.score)
            found += regions(
                best.mask.payload,
                shown_score(best.score),
                target,
                drawn.to_name,
                drawn.page,
                tolerance=self._finish.tolerance,
            )
        return found

    def _finest(
        self, state: ImageState, prompts: Sequence[ImagePrompt], asker: Asker, until: float
    ) -> list[list[MaskAnswer]]:
        """Return the masks of each prompt from the region that suits it, as far as these are encoded in time."""
        with self._thread_to_wait() as granted:

            def finest(prompt: ImagePrompt) -> MasksAnswer:
                wait = max(0.0, until - time.monotonic()) if granted else 0.0
                return self._answer(state, [prompt], asker, region=AUTO, wait=wait)

            if len(prompts) == 1:
                return finest(prompts[0]).results
            # The regions of all are queued before one is waited for, so that a worker can encode them together.
            first = [self._answer(state, [prompt], asker, region=AUTO) for prompt in prompts]
            pairs = zip(prompts, first, strict=True)
            answers = [one if one.finer is None else finest(prompt) for prompt, one in pairs]
            return [masks for answer in answers for masks in answer.results]

    def _answer(
        self,
        state: ImageState,
        prompts: Sequence[ImagePrompt],
        asker: Asker,
        *,
        region: Literal["auto"] | None = None,
        wait: float = 0.0,
    ) -> MasksAnswer:
        # SAM's authors advise choosing from three masks if one point may mean a part or the whole.
        ambiguous = len(prompts) == 1 and _is_one_point(prompts[0])
        return self._masks.answer(
            state.key.image_id,
            self._model,
            self._finish.wanted(MasksQuery(tuple(prompts), multimask=ambiguous, region=region)),
            wait=wait,
            timings=Stages(),
            namespace=asker.namespace,
            client=asker.client,
            write=_as_runs,
            charge=lambda: asker.spend(Quota.UPLOADS, 1),
        )


def _is_one_point(prompt: ImagePrompt) -> bool:
    return prompt.box is None and len(prompt.points) == 1


def _as_runs(runs: ColumnRuns) -> ColumnRuns:
    return runs
