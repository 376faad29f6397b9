"""The use case of X-AnyLabeling's remote server: marks in, shapes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prompt_api.access.scopes import Quota
from prompt_api.integrations.asker import Asker
from prompt_api.integrations.carried_images import CarriedImages, unpacked
from prompt_api.integrations.finish import UNFINISHED, Finish
from prompt_api.integrations.x_anylabeling.prompting import query_of
from prompt_api.integrations.x_anylabeling.shapes import shapes
from prompt_api.integrations.x_anylabeling.wire import (
    AnyLabelingModel,
    AnyLabelingParameters,
    AnyLabelingPredictRequest,
    Shape,
    ShapeForm,
    ShapesFound,
    TaskDescription,
    Widget,
)
from prompt_api.masks.runs import ColumnRuns
from prompt_api.service.prompts import MasksQuery
from shared.contract.errors import ModelNotFound
from shared.contract.models import Model

_SHOWN: Mapping[str, int | None] = {
    "button_add_point": None,
    "button_remove_point": None,
    "button_add_rect": None,
    "button_clear": None,
    "button_finish_object": None,
    "mask_fineness_slider": 10,
    "mask_fineness_value_label": None,
}
"""The controls that X-AnyLabeling shows, and where they begin. Its slider at 10 is an `epsilon_factor` of 0.001."""

_KEEP_ALL = "toggle_preserve_existing_annotations"
"""Without this control set, X-AnyLabeling removes every shape of the image when the server answers with an error. It is
set but not shown, because an answer never replaces accepted shapes anyway."""

_TASKS = {ShapeForm.POLYGON: "Polygon", ShapeForm.RECTANGLE: "Rectangle", ShapeForm.ROTATION: "Rotated rectangle"}


@dataclass(frozen=True, slots=True)
class Taken:
    """A request whose image was taken in. It no longer holds the image.

    Attributes:
        query: None if the marks make no prompt.
        params: how the masks are wanted.
    """

    model: Model
    image_id: str
    query: MasksQuery | None
    params: AnyLabelingParameters


class AnyLabelingServer:
    """Answers X-AnyLabeling for every served model."""

    def __init__(self, *, models: Mapping[str, Model], images: CarriedImages, finish: Finish = UNFINISHED) -> None:
        """Args:
        models: served models by name, the default first.
        finish: how masks are cleaned; this tool sends a tolerance of its own.
        """
        self._models = models
        self._images = images
        self._finish = finish

    def models(self) -> dict[str, AnyLabelingModel]:
        """Return the served models as X-AnyLabeling shows them, the default first."""
        return {name: _described(model) for name, model in self._models.items()}

    def take_in(self, asked: AnyLabelingPredictRequest, asker: Asker) -> Taken:
        """Take in the image of a request.

        Raises:
            ModelNotFound: the model is not served here.
            InvalidPrompt: the marks make no sense.
            UnsupportedImage, InvalidImage, ImageTooLarge: it is not an image that this service accepts.
            RateLimited, Overloaded, StoreUnavailable: nothing is wrong with the request; try again later.
        """
        query = query_of(asked.params.marks)
        asker.spend(Quota.PROMPTS, len(query.prompts) if query else 1)
        try:
            model = self._models[asked.model]
        except KeyError:
            raise ModelNotFound(
                f"model {asked.model[:100]!r} is not served here; served models: {', '.join(self._models)}"
            ) from None
        image_id = self._images.take_in(unpacked(base64_of(asked.image)), model, asker)
        return Taken(model, image_id, query, asked.params)

    def predict(self, taken: Taken, asker: Asker) -> ShapesFound:
        """Return the shapes for the marks of a request whose image was taken in; none without marks.

        Raises:
            InvalidPrompt: the prompts make no sense on this image.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is no embedding.
            Overloaded, StoreUnavailable: nothing is wrong with the request; try again later.
        """
        found: list[Shape] = []
        if taken.query is not None:
            answer = self._images.answer(taken.image_id, taken.model, self._finish.wanted(taken.query), asker, _as_runs)
            for masks in answer.results:
                best = max(masks, key=lambda mask: mask.score)
                found += shapes(best.mask.payload, best.score, taken.params.current_task, taken.params.epsilon_factor)
        return {"shapes": found, "description": "", "replace": False}


def _described(model: Model) -> AnyLabelingModel:
    widgets: list[Widget] = [{"name": name, "value": value} for name, value in _SHOWN.items()]
    tasks: list[TaskDescription] = [
        {
            "id": task,
            "name": name,
            "active_widgets": {widget: {} for widget in _SHOWN},
            "batch_processing_mode": None,
        }
        for task, name in _TASKS.items()
    ]
    return {
        "display_name": model.title,
        "widgets": [
            *widgets,
            {"name": _KEEP_ALL, "value": True},
            {"name": "remote_task_select_combobox", "value": None},
        ],
        "params": {},
        "capabilities": {},
        "batch_processing_mode": None,
        "available_tasks": tasks,
    }


def base64_of(image: bytes) -> memoryview:
    """Return the part of a data URL after its first comma, or all of a text that is not a data URL, without a copy."""
    start = image.find(b",", 0, 256) + 1 if image[:5].lower() == b"data:" else 0
    return memoryview(image)[start:]


def _as_runs(runs: ColumnRuns) -> ColumnRuns:
    return runs
