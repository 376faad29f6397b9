"""The types of X-AnyLabeling's requests and answers. Members that this service does not use are accepted and ignored.

Source: `anylabeling/services/auto_labeling/remote_server.py` of X-AnyLabeling 4.2.1, and `app/schemas` of
X-AnyLabeling-Server 0.0.11.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic accepts `typing.TypedDict` only from Python 3.12 on

from prompt_api.wire.json_body import parse_json
from prompt_api.wire.requests import MAX_REQUEST_POINTS

OBJECT: Final = "AUTOLABEL_OBJECT"
"""The label of a shape that the annotator has not accepted yet. X-AnyLabeling replaces such shapes at each answer."""

MAX_VALUES = 50_000
"""Most values in a request's JSON. The image is one value."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Base64 = Annotated[bytes, WithJsonSchema({"type": "string"})]


class ShapeForm(StrEnum):
    """The form in which the annotator wants masks."""

    POLYGON = "polygon"
    RECTANGLE = "rectangle"
    ROTATION = "rotation"


class _Incoming(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Mark(_Incoming):
    """A point or a rectangle that the annotator drew, in pixels of the EXIF-oriented original.

    Attributes:
        type: `point` or `rectangle`. Others are not prompts and are ignored.
        data: `[x, y]` of a point, `[x0, y0, x1, y1]` of two opposite corners of a rectangle.
        label: 1 for a part of the object, 0 for what is not part of it.
    """

    type: str
    data: Annotated[list[Number], Field(max_length=MAX_REQUEST_POINTS)] = []
    label: Annotated[int, Field(ge=0, le=1)] = 1


class AnyLabelingParameters(_Incoming):
    """Attributes:
    marks: all marks of the annotator on this image. Without any, the image is only taken in and encoded.
    epsilon_factor: how far a polygon may leave the mask's edge, as a share of the edge's length. X-AnyLabeling's
        slider goes from 0.0001 to 0.01.
    current_task: the id of the chosen task; polygons without it.
    """

    marks: Annotated[list[Mark], Field(max_length=MAX_REQUEST_POINTS)] = []
    epsilon_factor: Annotated[float, Field(ge=0, le=1)] = 0.001
    current_task: Annotated[ShapeForm, Field(strict=False)] = ShapeForm.POLYGON


class AnyLabelingPredictRequest(_Incoming):
    """Body of `POST /x-anylabeling/v1/predict`.

    Attributes:
        model: name of a served model.
        image: the image file in base64, with or without `data:image/…;base64,` in front.
        params: the marks, and how their masks are wanted.
    """

    model: Annotated[str, Field(max_length=256)]
    image: Base64
    params: AnyLabelingParameters = AnyLabelingParameters()


class Shape(TypedDict):
    """One shape for the annotator to accept.

    Attributes:
        label: the label of a shape that is not accepted yet.
        shape_type: what the points mean.
        points: `[x, y]` in pixels of the EXIF-oriented original. A polygon ends with its first point; rectangles have
            four corners.
        score: the IoU that the model predicts, from 0 to 1.
        direction: angle of a rotated rectangle's first side, clockwise from the right, in radians from 0 to 2π.
    """

    label: Literal["AUTOLABEL_OBJECT"]
    shape_type: Literal["polygon", "rectangle", "rotation"]
    points: list[list[float]]
    score: float
    direction: float


class ShapesFound(TypedDict):
    """Attributes:
    shapes: for each prompt, the shapes of its mask; nothing for an empty mask.
    description: always empty.
    replace: false keeps the shapes that the annotator has accepted.
    """

    shapes: list[Shape]
    description: str
    replace: Literal[False]


class AnyLabelingPredictAnswer(TypedDict):
    """Answer of `POST /x-anylabeling/v1/predict`."""

    success: Literal[True]
    data: ShapesFound


class Widget(TypedDict):
    """A control of X-AnyLabeling.

    Attributes:
        name: its name in X-AnyLabeling.
        value: where it begins; null leaves it as it is.
    """

    name: str
    value: int | bool | None


class TaskDescription(TypedDict):
    """One form in which masks can be had.

    Attributes:
        id: comes back as `current_task`.
        name: name for people.
        active_widgets: the controls that X-AnyLabeling shows for it, by name.
        batch_processing_mode: null: there is nothing to run over many images without somebody who points.
    """

    id: ShapeForm
    name: str
    active_widgets: dict[str, dict[str, Any]]
    batch_processing_mode: None


class AnyLabelingModel(TypedDict):
    """A served model, as X-AnyLabeling shows it.

    Attributes:
        display_name: name for people.
        widgets: the controls that X-AnyLabeling sets.
        params: always empty.
        capabilities: always empty.
        batch_processing_mode: null: there is nothing to run over many images without somebody who points.
        available_tasks: the forms in which masks can be had, the default first.
    """

    display_name: str
    widgets: list[Widget]
    params: dict[str, Any]
    capabilities: dict[str, Any]
    batch_processing_mode: None
    available_tasks: list[TaskDescription]


class AnyLabelingModels(TypedDict):
    """Answer of `GET /x-anylabeling/v1/models`.

    Attributes:
        data: the served models by name, the default first.
    """

    success: Literal[True]
    data: dict[str, AnyLabelingModel]


class AnyLabelingModelInfo(AnyLabelingModel):
    """A served model with its name.

    Attributes:
        model_id: its name.
        display_name: name for people.
        widgets: the controls that X-AnyLabeling shows.
        params: always empty.
        capabilities: always empty.
        batch_processing_mode: null: there is nothing to run over many images without somebody who points.
        available_tasks: the forms in which masks can be had, the default first.
    """

    model_id: str


class AnyLabelingModelAnswer(TypedDict):
    """Answer of `GET /x-anylabeling/v1/models/{name}/info`."""

    success: Literal[True]
    data: AnyLabelingModelInfo


class AnyLabelingHealth(TypedDict):
    """Answer of `GET /x-anylabeling/health`.

    Attributes:
        models_loaded: number of served models.
        timestamp: the time of the answer in UTC, as ISO 8601.
    """

    status: Literal["healthy"]
    models_loaded: int
    timestamp: str


def parse_predict(body: bytes) -> AnyLabelingPredictRequest:
    """Parse the request in `body`.

    Raises:
        InvalidPrompt: there are too many values, the JSON is malformed, or the types above refuse it.
            `extra["errors"]` says where.
    """
    return parse_json(AnyLabelingPredictRequest, body, max_values=MAX_VALUES, max_containers=MAX_VALUES)
