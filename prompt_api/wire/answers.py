"""The types of the API's answers. mypy checks the routes against them, and the OpenAPI document is made from them.

They are `TypedDict`s, not models: a route builds a plain dict, and nothing checks or copies it at run time. The tests
validate real answers of every route against the schemas made from these types.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, JsonValue, with_config
from typing_extensions import TypedDict  # pydantic accepts `typing.TypedDict` only from Python 3.12 on

from prompt_api.masks.interface import MaskFormat
from prompt_api.masks.polygons import Polygon
from prompt_api.service.browser import BrowserStatus
from prompt_api.service.images import ImageStatus

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Pixels = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
RegionCorners = tuple[Count, Count, Count, Count]


class RecordedError(TypedDict):
    """Why an encoding failed.

    Attributes:
        code: one of the error codes.
        detail: one sentence for people.
    """

    code: str
    detail: str


class ImageLinks(TypedDict):
    """Paths on this server for this image and model, `?model=` included.

    Attributes:
        self: path of the image resource.
        masks: path that takes prompts.
        embedding: path of the image embedding.
        events: path of the Server-Sent Events.
    """

    self: str
    masks: str
    embedding: str
    events: str


class ImageResource(TypedDict):
    """The state of an image for one model, or of a region of it.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model that encodes the image.
        region: `[x0, y0, x1, y1]` of the region in pixels of the original; null for the whole image.
        status: how far the encoding is.
        width: width of the EXIF-oriented original in pixels.
        height: height of the EXIF-oriented original in pixels.
        queue_position: number of encodings before this one; null if it is not known or `status` is not `queued`.
        workers: workers of the model that are alive. With 0, the image waits until one is started. Null if it is not
            known, or if the image waits for no worker.
        error: why the encoding failed; null unless `status` is `failed`.
        links: paths for this image and model.
    """

    image_id: Sha256
    model: str
    region: RegionCorners | None
    status: ImageStatus
    width: Pixels
    height: Pixels
    queue_position: Count | None
    workers: Count | None
    error: RecordedError | None
    links: ImageLinks


class RegionState(TypedDict):
    """A region that was asked for.

    Attributes:
        region: `[x0, y0, x1, y1]` in pixels of the original; null if the whole image suits better.
        status: how far its encoding is.
        queue_position: number of encodings before this one; null if it is not known or `status` is not `queued`.
        error: why the encoding failed; null unless `status` is `failed`.
    """

    region: RegionCorners | None
    status: ImageStatus
    queue_position: Count | None
    error: RecordedError | None


class RegionsResponse(TypedDict):
    """The answer to a `RegionsRequest`.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model that encodes the regions.
        width: width of the EXIF-oriented original in pixels.
        height: height of the EXIF-oriented original in pixels.
        regions: one for each rectangle of the request, in its order. Two may be the same.
    """

    image_id: Sha256
    model: str
    width: Pixels
    height: Pixels
    regions: list[RegionState]


class Rle(TypedDict):
    """COCO compressed run-length encoding, as pycocotools reads and writes it.

    Attributes:
        size: `[height, width]`.
        counts: lengths of alternating runs of background and mask pixels in column-major order from the top left,
            compressed to text as in `maskApi.c`.
    """

    size: tuple[Pixels, Pixels]
    counts: str


Base64Png = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"})]
_Base64Logits = Annotated[
    str, Field(json_schema_extra={"contentEncoding": "base64", "contentMediaType": "application/octet-stream"})
]


_FORMS: list[JsonValue] = [{"required": [form.value]} for form in MaskFormat if form is not MaskFormat.LOGITS]


@with_config(ConfigDict(json_schema_extra={"oneOf": [*_FORMS, {"required": ["logits"], "not": {"anyOf": _FORMS}}]}))
class Mask(TypedDict):
    """One mask. It is in the member that the request's `format` names: `rle`, `png`, `polygons` or `logits`.

    A request with `logits: true` and another format gets both.

    Attributes:
        score: the model's prediction of the mask's IoU with the true mask.
        area: number of pixels of the original that the mask covers.
        bbox: `[x, y, width, height]` of those pixels; all 0 for an empty mask.
        rle: COCO compressed RLE of the mask at the original's size.
        png: base64 of a 1-bit greyscale PNG of the original's size; the mask is white.
        polygons: the mask's parts as rings along pixel edges, without loss unless the request has a `tolerance`.
        logits: base64 of the low-res logits: 256x256 little-endian float16, row by row, over the zero-padded
            1024x1024 frame of the image or region. Resize them and cut at 0 to get the mask, or send them as
            `mask_logits` to refine it.
        mask_token: send it in a later prompt to refine this mask.
    """

    score: float
    area: Count
    bbox: tuple[Count, Count, Count, Count]
    rle: NotRequired[Rle]
    png: NotRequired[Base64Png]
    polygons: NotRequired[list[Polygon]]
    logits: NotRequired[_Base64Logits]
    mask_token: str


class PromptResult(TypedDict):
    """The masks of one prompt.

    Attributes:
        masks: three with `multimask`, in the model's order; otherwise one.
    """

    masks: Annotated[list[Mask], Field(min_length=1, max_length=3)]


class FinerRegion(TypedDict):
    """A region that would give finer masks than the answer has.

    Attributes:
        region: `[x0, y0, x1, y1]` in pixels of the original.
        status: how far its encoding is. Once it is `ready`, the same request is answered from it.
    """

    region: RegionCorners
    status: ImageStatus


class MasksResponse(TypedDict):
    """The answer to a `MasksRequest`.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model that answered.
        width: width of the EXIF-oriented original in pixels.
        height: height of the EXIF-oriented original in pixels.
        region: `[x0, y0, x1, y1]` of the part of the image that the masks come from; null for the whole image. The
            masks are at the size of the whole image all the same.
        results: one per prompt, in the order of the request.
        finer: only with `"region": "auto"`: the region that is being encoded for a finer answer; null if there is none.
    """

    image_id: Sha256
    model: str
    width: Pixels
    height: Pixels
    region: RegionCorners | None
    results: list[PromptResult]
    finer: NotRequired[FinerRegion | None]


class EmbeddingDescription(TypedDict):
    """The first tensor of an image embedding; `tensors` has all of them.

    Attributes:
        shape: `[batch, channels, height, width]`.
        dtype: data type of the download.
        stored_as: data type in which the service stores it. It limits the precision.
    """

    shape: list[Pixels]
    dtype: Literal["float16"]
    stored_as: str


class TensorDescription(TypedDict):
    """One tensor of an image embedding, as `GET /v1/images/{image_id}/embedding` returns it.

    Attributes:
        name: its name in a `.npz` download.
        shape: `[batch, channels, height, width]`.
        dtype: data type of the download.
        stored_as: data type in which the service stores it. It limits the precision.
    """

    name: str
    shape: list[Pixels]
    dtype: Literal["float16"]
    stored_as: str


class FrameDescription(TypedDict):
    """The square input of the image encoder.

    Attributes:
        name: how an image is resized to it. `longest_side`: the long side fills the frame, and zeros pad the rest.
            `squash`: the image fills the frame, whatever its aspect ratio.
        side: width and height of the frame in pixels.
    """

    name: str
    side: Pixels


class ModelLinks(TypedDict):
    """Attributes:
    decoder: path of the mask decoder's graph; null if the model has no graph to download.
    """

    decoder: str | None


class ModelDescription(TypedDict):
    """A model that this service serves.

    Attributes:
        name: the value for the parameter `model`.
        title: name for people.
        default: whether requests without `model` use this model.
        weights_digest: identifies the weights. Embeddings of different weights are never mixed.
        licence: SPDX identifier of the weights' licence; `NOASSERTION` if the catalogue does not tell it.
        architecture: names the kind of mask decoder.
        image_size: the same as `frame.side`.
        frame: the square input of the image encoder.
        embedding: the first of `tensors`.
        tensors: the tensors of an image embedding.
        workers: workers that are alive and encode images for this model, a few seconds ago; null if it is not known.
        mask_workers: the same for mask workers, which run everything jobs.
        links: paths of downloads.
    """

    name: str
    title: str
    default: bool
    weights_digest: Sha256
    licence: str
    architecture: str
    image_size: Pixels
    frame: FrameDescription
    embedding: EmbeddingDescription
    tensors: list[TensorDescription]
    workers: Count | None
    mask_workers: Count | None
    links: ModelLinks


class ModelList(TypedDict):
    """The models that this service serves.

    Attributes:
        models: the default model is the first.
    """

    models: list[ModelDescription]


class BrowserDecoder(TypedDict):
    """The files that decoding in a browser needs: three graphs for ONNX Runtime, and onnxruntime-web.

    Attributes:
        model: the model that the graphs belong to.
        weights_digest: identifies the weights. Send it as `weights` when you download embeddings.
        status: `ready`, `fetching` while the service fetches the runtime, or `unavailable`.
        detail: why `status` is not `ready`; null if it is.
        runtime: version of onnxruntime-web. Its files are at `static/runtime/{version}/…`, relative to the page.
        digest: identifies the graphs in their paths; null if the model has none.
        parts: size in bytes of each graph, by name: `image_side`, `mask_side`, `prompt_side`.
    """

    model: str
    weights_digest: Sha256
    status: BrowserStatus
    detail: str | None
    runtime: str
    digest: str | None
    parts: dict[str, Count]


class Alive(TypedDict):
    """The process is alive.

    Attributes:
        status: always `ok`.
    """

    status: Literal["ok"]


class Readiness(TypedDict):
    """Whether the service can serve.

    Attributes:
        status: `ready` if no check fails.
        failing: names of the checks that fail.
        degraded: names of the checks without which only a part of the service works: the workers and mask workers of
            a model. The service can answer prompts on encoded images without them, so they do not make it `unready`.
        checks: `ok` or what is wrong, by name of the dependency.
    """

    status: Literal["ready", "unready"]
    failing: list[str]
    degraded: list[str]
    checks: dict[str, str]


class PromptProblem(TypedDict):
    """One problem of a request.

    Attributes:
        at: path into the body, such as `prompts/0/box`.
        problem: what is wrong there.
    """

    at: str
    problem: str


class Problem(TypedDict):
    """An error, as RFC 9457 describes it. Programs read `code`, people read `detail`.

    Attributes:
        type: a URN made of `code`.
        title: the status in words.
        status: the HTTP status.
        code: a stable name of the error. Its meaning never changes.
        detail: one sentence about this request.
        errors: with `invalid-prompt`, up to ten problems of the request.
        max_bytes: with `image-too-large`, `request-too-large` and `answer-too-large`, the limit in bytes that was
            exceeded.
        max_pixels: with `image-too-large`, the limit in pixels that was exceeded.
        scope: with `forbidden`, the scope that the token lacks.
        limit: with `rate-limited`, the rate that is allowed, such as `50/second`.
        max_side: with `image-too-large`, the limit in pixels per side that was exceeded.
        width: width of the image in pixels, if it matters to the error.
        height: height of the image in pixels, if it matters to the error.
    """

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    code: str
    detail: str
    errors: NotRequired[list[PromptProblem]]
    max_bytes: NotRequired[int]
    max_pixels: NotRequired[int]
    max_side: NotRequired[int]
    scope: NotRequired[Literal["read", "write"]]
    limit: NotRequired[str]
    width: NotRequired[int]
    height: NotRequired[int]
