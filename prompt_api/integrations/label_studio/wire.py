"""The types of Label Studio's requests and answers. Members that this service does not use are accepted and ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic accepts `typing.TypedDict` only from Python 3.12 on

from prompt_api.wire.json_body import parse_json

MAX_TASKS = 10_000
"""Most tasks of one request. Label Studio sends all selected tasks at once."""

MAX_VALUES = 1_000_000
"""Most values in a request's JSON. Tasks contain the annotator's drafts, and a drawn mask is some thousand numbers."""
MAX_CONTAINERS = 200_000

Percent = Annotated[float, Field(allow_inf_nan=False)]
Degrees = Annotated[float, Field(allow_inf_nan=False)]
Byte = Annotated[int, Field(ge=0, le=255)]

M = TypeVar("M", bound=BaseModel)


class _Incoming(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class DrawnValue(_Incoming):
    """The position of a region, in percent of the image's width and height, and its labels.

    Attributes:
        x: distance from the left edge of a keypoint or of a rectangle's corner. Without rotation, the corner is the
            upper left one.
        y: distance from the top edge of the same point.
        width: width of a rectangle.
        height: height of a rectangle.
        rotation: clockwise rotation of a rectangle around that corner, in degrees.
        labels: labels of a separate `Labels` tag.
        keypointlabels: labels of a `KeyPointLabels` tag.
        rectanglelabels: labels of a `RectangleLabels` tag.
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
        id: id of the region. The entry of a separate `Labels` tag has the same id.
        type: `keypointlabels`, `rectanglelabels`, `keypoint` or `rectangle`. Other types are not prompts.
        to_name: name of the `Image` tag that the region lies on.
        value: position and labels of the region.
        is_positive: false for a keypoint that is not part of the object.
        image_rotation: degrees by which the annotator has rotated the image.
        item_index: index of the page if the `Image` tag has several.
    """

    id: str = ""
    type: str
    to_name: str
    value: DrawnValue
    is_positive: bool = True
    image_rotation: Degrees = 0.0
    item_index: Annotated[int, Field(ge=0)] | None = None


class Context(_Incoming):
    """The regions that the annotator has drawn.

    Attributes:
        result: the regions of one tool and one label, the latest last.
    """

    result: Annotated[list[Drawn], Field(max_length=256)] = []


class PredictParameters(_Incoming):
    """Attributes:
    context: null if a task is only opened, or if predictions for many tasks are requested at once.
    """

    context: Context | None = None


class Task(_Incoming):
    """Attributes:
    id: id of the task in Label Studio.
    data: values of the task, by their names in the label config.
    """

    id: int | str | None = None
    data: dict[str, Any]


class PredictRequest(_Incoming):
    """Body of `POST /label-studio/predict`.

    Attributes:
        tasks: exactly one if there is a context.
        label_config: the project's labeling configuration in XML.
        params: contains the context.
    """

    tasks: Annotated[list[Task], Field(min_length=1, max_length=MAX_TASKS)]
    label_config: Annotated[str, Field(max_length=1_000_000)]
    params: PredictParameters | None = None


class ProjectSetup(_Incoming):
    """Body of `POST /label-studio/setup`. Label Studio describes the project that it connects. Nothing is kept.

    Attributes:
        project: the project's id and time of creation.
    """

    project: str | int | None = None


class BrushValue(TypedDict):
    """Attributes:
    format: format of the mask.
    rle: the mask at the size of the image, in the run-length encoding of Label Studio's brush.
    brushlabels: labels of a `BrushLabels` tag.
    labels: labels of a `Labels` tag that belongs to a `Brush`.
    """

    format: Literal["rle"]
    rle: list[Byte]
    brushlabels: NotRequired[list[str]]
    labels: NotRequired[list[str]]


class PolygonValue(TypedDict):
    """Attributes:
    points: `[x, y]` in percent of the image's width and height.
    closed: the last point is joined to the first.
    polygonlabels: labels of a `PolygonLabels` tag.
    labels: labels of a `Labels` tag that belongs to a `Polygon`.
    """

    points: list[list[float]]
    closed: Literal[True]
    polygonlabels: NotRequired[list[str]]
    labels: NotRequired[list[str]]


class Region(TypedDict):
    """A region for the annotator to accept.

    Attributes:
        id: a random id for the region.
        type: kind of the tag that makes the region.
        from_name: name of the tag that makes the region.
        to_name: name of the `Image` tag that the region lies on.
        original_width: width of the image in pixels.
        original_height: height of the image in pixels.
        image_rotation: always 0, because the region refers to the image without rotation.
        item_index: index of the page if the `Image` tag has several.
        value: the mask and its labels.
        score: the IoU that the model predicts, from 0 to 1.
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
    """The regions that the model finds in a task.

    Attributes:
        model_version: names the model and its weights.
        score: the lowest score of the regions; 0 without regions.
        result: the regions; empty if the image is not encoded yet, nothing was drawn or the mask is empty.
    """

    model_version: str
    score: float
    result: list[Region]


class PredictAnswer(TypedDict):
    """Answer of `POST /label-studio/predict`.

    Attributes:
        results: one entry per task, in order. Without a context it is an empty list, which changes nothing in the task,
            or every mask of the task if `SAM_LABEL_STUDIO_EVERYTHING` is on.
    """

    results: list[Prediction | list[Prediction]]


class BackendHealth(TypedDict):
    """Answer of `GET /label-studio/health`."""

    status: Literal["UP"]
    model_class: str


class SetupAnswer(TypedDict):
    """Answer of `POST /label-studio/setup`.

    Attributes:
        model_version: names the model and its weights.
    """

    model_version: str


class Noted(TypedDict):
    """Answer of `POST /label-studio/webhook`."""

    status: Literal["ok"]


def parse_predict(body: bytes) -> PredictRequest:
    """Parse the request in `body`.

    Raises:
        InvalidPrompt: there are too many values, the JSON is malformed, or the types above refuse it.
            `extra["errors"]` says where.
    """
    return _parsed(PredictRequest, body)


def parse_setup(body: bytes) -> ProjectSetup:
    """Parse the request in `body`. It raises the same errors as `parse_predict`."""
    return _parsed(ProjectSetup, body)


class AnyEvent(_Incoming):
    """Body of `POST /label-studio/webhook`: an event in a project."""


def check_event(body: bytes) -> None:
    """Check that `body` is an event. It raises the same errors as `parse_predict`."""
    _parsed(AnyEvent, body)


def _parsed(kind: type[M], body: bytes) -> M:
    return parse_json(kind, body, max_values=MAX_VALUES, max_containers=MAX_CONTAINERS)
