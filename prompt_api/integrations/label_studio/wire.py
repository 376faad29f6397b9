"""What Label Studio sends and expects, as types. Members that are of no use here are not named, and let through."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic reads typing's own only from Python 3.12 on

from prompt_api.wire.json_body import parse_json

MAX_TASKS = 10_000
"""Of one request: Label Studio sends all that are selected at once."""

MAX_VALUES = 1_000_000
"""In a request's JSON. Tasks come with the annotator's drafts, and a drawn mask is some thousand numbers."""
MAX_CONTAINERS = 200_000

Percent = Annotated[float, Field(allow_inf_nan=False)]
Degrees = Annotated[float, Field(allow_inf_nan=False)]
Byte = Annotated[int, Field(ge=0, le=255)]

M = TypeVar("M", bound=BaseModel)


class _Incoming(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class DrawnValue(_Incoming):
    """Where a region was drawn, in percent of the image's width and height, and its labels.

    Attributes:
        x: of a keypoint; of a rectangle's corner, the upper left one unless it is turned.
        y: the same, down from the top.
        width: of a rectangle.
        height: of a rectangle.
        rotation: degrees by which a rectangle is turned clockwise around that corner.
        labels: of a `Labels` tag beside a tag without labels of its own.
        keypointlabels: of a `KeyPointLabels` tag.
        rectanglelabels: of a `RectangleLabels` tag.
    """

    x: Percent | None = None
    y: Percent | None = None
    width: Percent | None = None
    height: Percent | None = None
    rotation: Degrees = 0.0
    labels: list[str] = []
    keypointlabels: list[str] = []
    rectanglelabels: list[str] = []


class Drawn(_Incoming):
    """One region that the annotator drew with a smart tool.

    Attributes:
        id: of the region; a `Labels` tag repeats it in an entry of its own.
        type: `keypointlabels`, `rectanglelabels`, `keypoint` or `rectangle`; others are no prompts.
        to_name: the `Image` tag it lies on.
        value: where, and its labels.
        is_positive: false for a keypoint that is not part of the object.
        image_rotation: degrees by which the annotator has turned the image.
        item_index: page of an `Image` tag with several.
    """

    id: str = ""
    type: str
    to_name: str
    value: DrawnValue
    is_positive: bool = True
    image_rotation: Degrees = 0.0
    item_index: Annotated[int, Field(ge=0)] | None = None


class Context(_Incoming):
    """What the annotator has drawn.

    Attributes:
        result: the regions of one tool and one label, the latest last.
    """

    result: Annotated[list[Drawn], Field(max_length=256)] = []


class PredictParameters(_Incoming):
    """Attributes:
    context: null when a task is opened, or predictions are asked for many at once.
    """

    context: Context | None = None


class Task(_Incoming):
    """Attributes:
    id: in Label Studio.
    data: values of the task, by the names that the label config calls them.
    """

    id: int | str | None = None
    data: dict[str, Any]


class PredictRequest(_Incoming):
    """Body of `POST /label-studio/predict`.

    Attributes:
        tasks: one where there is a context.
        label_config: the project's labeling configuration, XML.
        params: holds the context.
    """

    tasks: Annotated[list[Task], Field(min_length=1, max_length=MAX_TASKS)]
    label_config: Annotated[str, Field(max_length=1_000_000)]
    params: PredictParameters | None = None


class ProjectSetup(_Incoming):
    """Body of `POST /label-studio/setup`: what Label Studio says of a project when it connects. Nothing of it is kept.

    Attributes:
        project: its id and time of creation.
    """

    project: str | int | None = None


class BrushValue(TypedDict):
    """Attributes:
    format: how the mask is written.
    rle: the mask at the size of the image, as Label Studio's brush keeps it.
    brushlabels: of a `BrushLabels` tag.
    labels: of a `Labels` tag beside a `Brush`.
    """

    format: Literal["rle"]
    rle: list[Byte]
    brushlabels: NotRequired[list[str]]
    labels: NotRequired[list[str]]


class PolygonValue(TypedDict):
    """Attributes:
    points: `[x, y]` in percent of the image's width and height.
    closed: a polygon's last point is joined to its first.
    polygonlabels: of a `PolygonLabels` tag.
    labels: of a `Labels` tag beside a `Polygon`.
    """

    points: list[list[float]]
    closed: Literal[True]
    polygonlabels: NotRequired[list[str]]
    labels: NotRequired[list[str]]


class Region(TypedDict):
    """A region for the annotator to accept.

    Attributes:
        id: made up here.
        type: what kind of tag draws such regions.
        from_name: the tag of the label config that does.
        to_name: the `Image` tag it lies on.
        original_width: pixels of the image.
        original_height: pixels of the image.
        image_rotation: the image lies as it was taken.
        item_index: page of an `Image` tag with several.
        value: the mask, and its labels.
        score: IoU the model predicts.
    """

    id: str
    type: Literal["brushlabels", "polygonlabels", "brush", "polygon", "labels"]
    from_name: str
    to_name: str
    original_width: int
    original_height: int
    image_rotation: Literal[0]
    item_index: NotRequired[int]
    value: BrushValue | PolygonValue
    score: float


class Prediction(TypedDict):
    """What the model sees in a task.

    Attributes:
        model_version: the model and its weights.
        score: the lowest of the regions', 0 without any.
        result: regions; none while the image is being encoded, or if there is nothing.
    """

    model_version: str
    score: float
    result: list[Region]


class PredictAnswer(TypedDict):
    """Answer of `POST /label-studio/predict`.

    Attributes:
        results: one per task, in order; an empty list, which leaves no trace in the task, unless there is a context.
    """

    results: list[Prediction | list[Prediction]]


class BackendHealth(TypedDict):
    """Answer of `GET /label-studio/health`."""

    status: Literal["UP"]
    model_class: str


class SetupAnswer(TypedDict):
    """Answer of `POST /label-studio/setup`.

    Attributes:
        model_version: the model and its weights.
    """

    model_version: str


class Noted(TypedDict):
    """Answer of `POST /label-studio/webhook`."""

    status: Literal["ok"]


def parse_predict(body: bytes) -> PredictRequest:
    """The request in `body`.

    Raises:
        InvalidPrompt: too many values, malformed JSON, or anything the types above refuse; `extra["errors"]` says
            where.
    """
    return _parsed(PredictRequest, body)


def parse_setup(body: bytes) -> ProjectSetup:
    """The request in `body`. Raises as `parse_predict`."""
    return _parsed(ProjectSetup, body)


class AnyEvent(_Incoming):
    """Body of `POST /label-studio/webhook`: something that happened in a project."""


def check_event(body: bytes) -> None:
    """Raises as `parse_predict`."""
    _parsed(AnyEvent, body)


def _parsed(kind: type[M], body: bytes) -> M:
    return parse_json(kind, body, max_values=MAX_VALUES, max_containers=MAX_CONTAINERS)
