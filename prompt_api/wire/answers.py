"""What the API answers, as types: mypy holds the routes against them, the OpenAPI document is made from them.

They are `TypedDict`s, not models: a route builds a plain dict and nothing checks or copies it at run time. The tests
validate the real answers of every route against the schemas made from here.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, JsonValue, with_config
from typing_extensions import TypedDict  # pydantic reads typing's own only from Python 3.12 on

from prompt_api.masks.interface import MaskFormat
from prompt_api.masks.polygons import Polygon
from prompt_api.service.browser import BrowserStatus
from prompt_api.service.images import ImageStatus

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Pixels = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]


class RecordedError(TypedDict):
    """Why an encoding failed.

    Attributes:
        code: one of the error codes.
        detail: one sentence for a person.
    """

    code: str
    detail: str


class ImageLinks(TypedDict):
    """Where to go on with this image and model: paths on this server, `?model=` included.

    Attributes:
        self: the image resource.
        masks: takes prompts.
        embedding: the image embedding.
        events: Server-Sent Events.
    """

    self: str
    masks: str
    embedding: str
    events: str


class ImageResource(TypedDict):
    """An image, as one model sees it.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model it is, or will be, encoded by.
        status: where it is on its way to an embedding.
        width: pixels of the EXIF-oriented original.
        height: pixels of the EXIF-oriented original.
        queue_position: encodings before this one; null unless `status` is `queued` and it is known.
        error: why the encoding failed; null unless `status` is `failed`.
        links: where to go on.
    """

    image_id: Sha256
    model: str
    status: ImageStatus
    width: Pixels
    height: Pixels
    queue_position: Count | None
    error: RecordedError | None
    links: ImageLinks


class Rle(TypedDict):
    """COCO compressed run-length encoding, as pycocotools reads and writes it.

    Attributes:
        size: `[height, width]`.
        counts: lengths of alternating runs of background and mask pixels, down the columns from the top left
            (column-major), compressed to text as in `maskApi.c`.
    """

    size: tuple[Pixels, Pixels]
    counts: str


_Base64Png = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"})]
_Base64Logits = Annotated[
    str, Field(json_schema_extra={"contentEncoding": "base64", "contentMediaType": "application/octet-stream"})
]


_FORMS: list[JsonValue] = [{"required": [form.value]} for form in MaskFormat if form is not MaskFormat.LOGITS]


@with_config(ConfigDict(json_schema_extra={"oneOf": [*_FORMS, {"required": ["logits"], "not": {"anyOf": _FORMS}}]}))
class Mask(TypedDict):
    """One mask. One of `rle`, `png`, `polygons` and `logits` holds it: the one the request's `format` names.

    Whoever asks for `logits` besides another format gets both.

    Attributes:
        score: the IoU with the true mask that the model predicts.
        area: pixels of the original that the mask covers.
        bbox: `[x, y, width, height]` of those pixels; all 0 for an empty mask.
        rle: COCO compressed RLE of the mask at the original's size.
        png: base64 of a 1-bit greyscale PNG of the original's size; white is the mask.
        polygons: the mask's parts as rings along pixel edges; nothing is lost.
        logits: base64 of the low-res logits: 256x256 little-endian float16, row by row, over the zero-padded
            1024x1024 frame. Resized and cut at 0 they are the mask; as `mask_logits` they refine it.
        mask_token: hands this mask back as part of a later prompt.
    """

    score: float
    area: Count
    bbox: tuple[Count, Count, Count, Count]
    rle: NotRequired[Rle]
    png: NotRequired[_Base64Png]
    polygons: NotRequired[list[Polygon]]
    logits: NotRequired[_Base64Logits]
    mask_token: str


class PromptResult(TypedDict):
    """The masks of one prompt.

    Attributes:
        masks: three with `multimask`, in the model's order; else one.
    """

    masks: Annotated[list[Mask], Field(min_length=1, max_length=3)]


class MasksResponse(TypedDict):
    """The answer to a `MasksRequest`.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model that answered.
        width: pixels of the EXIF-oriented original.
        height: pixels of the EXIF-oriented original.
        results: one per prompt, in the order asked.
    """

    image_id: Sha256
    model: str
    width: Pixels
    height: Pixels
    results: list[PromptResult]


class EmbeddingDescription(TypedDict):
    """The first tensor of an image embedding; `tensors` has all of them.

    Attributes:
        shape: `[batch, channels, height, width]`.
        dtype: of the download.
        stored_as: how the service keeps it, which bounds its precision.
    """

    shape: list[Pixels]
    dtype: Literal["float16"]
    stored_as: str


class TensorDescription(TypedDict):
    """One tensor of an image embedding, as `GET /v1/images/{image_id}/embedding` gives it.

    Attributes:
        name: names it in a `.npz` download.
        shape: `[batch, channels, height, width]`.
        dtype: of the download.
        stored_as: how the service keeps it, which bounds its precision.
    """

    name: str
    shape: list[Pixels]
    dtype: Literal["float16"]
    stored_as: str


class FrameDescription(TypedDict):
    """The square that the image encoder sees an image in.

    Attributes:
        name: how an image is brought into it. `longest_side`: its long side fills the frame, zeros pad the rest.
        side: pixels of each side of the frame.
    """

    name: str
    side: Pixels


class ModelLinks(TypedDict):
    """Attributes:
    decoder: the mask decoder's graph; null where the model has none to download.
    """

    decoder: str | None


class ModelDescription(TypedDict):
    """A model that this service serves.

    Attributes:
        name: what `model` takes.
        title: for people.
        default: whether requests without `model` get this one.
        weights_digest: names the weights. Embeddings of other weights are never mixed with these.
        licence: SPDX identifier of the weights.
        architecture: which mask decoder it has.
        image_size: the same as `frame.side`.
        frame: how the image encoder sees an image.
        embedding: the first of `tensors`.
        tensors: what an image embedding is made of.
        links: what can be downloaded.
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
    links: ModelLinks


class ModelList(TypedDict):
    """What is served.

    Attributes:
        models: the default first.
    """

    models: list[ModelDescription]


class BrowserDecoder(TypedDict):
    """What decoding in a browser takes: three graphs for ONNX Runtime, and onnxruntime-web.

    Attributes:
        model: the model it belongs to.
        weights_digest: names the weights. Ask for embeddings with it as `weights`.
        status: `ready`; `fetching` while the service fetches the runtime; `unavailable`.
        detail: why it is not `ready`; null if it is.
        runtime: version of onnxruntime-web; its files are `static/runtime/{version}/…`, relative to the page.
        digest: names the graphs, as part of their path; null where the model has none.
        parts: bytes of each graph by its name: `image_side`, `mask_side`, `prompt_side`.
    """

    model: str
    weights_digest: Sha256
    status: BrowserStatus
    detail: str | None
    runtime: str
    digest: str | None
    parts: dict[str, Count]


class Alive(TypedDict):
    """The process answers.

    Attributes:
        status: always `ok`.
    """

    status: Literal["ok"]


class Readiness(TypedDict):
    """Whether the service can serve.

    Attributes:
        status: `ready` when nothing fails.
        failing: names of the checks that fail.
        checks: for each dependency `ok`, or what is wrong.
    """

    status: Literal["ready", "unready"]
    failing: list[str]
    checks: dict[str, str]


class PromptProblem(TypedDict):
    """One thing wrong with a request.

    Attributes:
        at: where, as a path into the body: `prompts/0/box`.
        problem: what.
    """

    at: str
    problem: str


class Problem(TypedDict):
    """An error, as RFC 9457 describes it. Programs look at `code`, people at `detail`.

    Attributes:
        type: a URN made of `code`.
        title: the status in words.
        status: the HTTP status.
        code: stable: it never changes meaning.
        detail: one sentence about this very request.
        errors: with `invalid-prompt`, up to ten places and what is wrong there.
        max_bytes: with `image-too-large` and `request-too-large`, the limit that was passed.
        max_pixels: with `image-too-large`, the limit that was passed.
        scope: with `forbidden`, what the token would have to have.
        limit: with `rate-limited`, how much is allowed.
        max_side: with `image-too-large`, the limit in pixels that was passed.
        width: pixels of the image, where it matters to the error.
        height: pixels of the image, where it matters to the error.
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
