"""The service's answers as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

Corners = tuple[int, int, int, int]
"""(x0, y0, x1, y1) of a region: whole pixels of the image, EXIF orientation applied. x1 and y1 are not part of it."""


def corners_of(value: Any) -> Corners | None:
    """The corners in a JSON answer; None where it says `null`, which is the whole image."""
    if value is None:
        return None
    x0, y0, x1, y1 = (int(number) for number in value)
    return x0, y0, x1, y1


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image, or a region of one, on its way to an embedding, for one model.

    Attributes:
        image_id: lower-case hex SHA-256 of the file's bytes.
        status: `queued`, `encoding`, `ready` or `failed`.
        width: pixels, EXIF orientation applied.
        height: pixels, EXIF orientation applied.
        queue_position: how many images are encoded before this one; None if it is not queued, or nobody knows.
        error: `{"code", "detail"}` if it failed.
        sent: True if the file's bytes were sent for this answer, False if the service knew the image.
        workers: the model's workers that are alive; with 0 the image waits until one is started. None if nobody knows,
            or if the image waits for no worker.
        region: the part of the image that this is about; None: the whole image.
    """

    image_id: str
    model: str
    status: str
    width: int
    height: int
    queue_position: int | None = None
    error: Mapping[str, str] | None = None
    sent: bool = False
    workers: int | None = None
    region: Corners | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, sent: bool = False) -> Self:
        return cls(
            image_id=str(document["image_id"]),
            model=str(document["model"]),
            status=str(document["status"]),
            width=int(document["width"]),
            height=int(document["height"]),
            queue_position=document.get("queue_position"),
            error=document.get("error"),
            sent=sent,
            workers=document.get("workers"),
            region=corners_of(document.get("region")),
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), as numpy and SAM order it."""
        return self.height, self.width


@dataclass(frozen=True, slots=True)
class Mask:
    """One mask.

    Attributes:
        score: the IoU that the model predicts for it.
        area: pixels that it covers.
        bbox: (x, y, width, height) of those pixels.
        payload: the mask in the format that was asked for; docs/http-api.md describes each.
        token: a later prompt refines this mask with it, as its `mask_token`.
        logits: its low-res logits as the contract's base64 text, if they were asked for.
    """

    score: float
    area: int
    bbox: tuple[int, int, int, int]
    payload: Any
    token: str
    logits: str | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any], form: str) -> Self:
        x, y, width, height = (int(value) for value in document["bbox"])
        return cls(
            score=float(document["score"]),
            area=int(document["area"]),
            bbox=(x, y, width, height),
            payload=document[form],
            token=str(document["mask_token"]),
            logits=document.get("logits"),
        )


@dataclass(frozen=True, slots=True)
class Finer:
    """A region whose masks will be finer than those of the whole image, which answered.

    Attributes:
        status: `queued`, `encoding`, `ready` (it was a moment too late) or `failed`.
    """

    region: Corners
    status: str

    @property
    def is_coming(self) -> bool:
        """Whether the same request will be answered from it."""
        return self.status != "failed"

    @classmethod
    def parse(cls, document: Mapping[str, Any] | None) -> Self | None:
        region = None if document is None else corners_of(document["region"])
        return None if document is None or region is None else cls(region, str(document["status"]))


@dataclass(frozen=True, slots=True)
class RegionInfo:
    """A region on its way to an embedding.

    Attributes:
        region: None: the whole image.
        status: `queued`, `encoding`, `ready` or `failed`.
        error: `{"code", "detail"}` if it failed.
    """

    region: Corners | None
    status: str
    error: Mapping[str, str] | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        return cls(corners_of(document["region"]), str(document["status"]), document.get("error"))


@dataclass(frozen=True, slots=True)
class Regions:
    """The answer to a request for regions.

    Attributes:
        width: pixels of the image, EXIF orientation applied.
        height: pixels of the image, EXIF orientation applied.
        regions: one for each that was asked for, in that order. Several may be the same.
    """

    image_id: str
    model: str
    width: int
    height: int
    regions: list[RegionInfo]

    @property
    def settled(self) -> bool:
        """Whether each is ready or failed."""
        return all(region.status in ("ready", "failed") for region in self.regions)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            image_id=str(document["image_id"]),
            model=str(document["model"]),
            width=int(document["width"]),
            height=int(document["height"]),
            regions=[RegionInfo.parse(region) for region in document["regions"]],
        )


@dataclass(frozen=True, slots=True)
class Masks:
    """The answer to a request of prompts.

    Attributes:
        width: pixels of the original, EXIF orientation applied.
        height: pixels of the original, EXIF orientation applied.
        results: the masks of each prompt, in the order of the prompts.
        timing: the `Server-Timing` header: how many milliseconds each stage took in the service.
        region: the part of the image that answered; None: the whole image. The masks cover the whole image anyway.
        finer: if `auto` was asked for, the region that is still being encoded and will answer better; else None.
    """

    image_id: str
    model: str
    width: int
    height: int
    results: list[list[Mask]]
    timing: str = ""
    region: Corners | None = None
    finer: Finer | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any], form: str, timing: str = "") -> Self:
        return cls(
            image_id=str(document["image_id"]),
            model=str(document["model"]),
            width=int(document["width"]),
            height=int(document["height"]),
            results=[[Mask.parse(mask, form) for mask in result["masks"]] for result in document["results"]],
            timing=timing,
            region=corners_of(document.get("region")),
            finer=Finer.parse(document.get("finer")),
        )


@dataclass(frozen=True, slots=True)
class FoundMask:
    """One of all masks of an image.

    Attributes:
        rle: the mask over the whole image, COCO's compressed RLE.
        area: pixels that it covers.
        bbox: (x, y, width, height) of those pixels.
        predicted_iou: the IoU that the model predicts for it.
        point: (x, y) of the point that gave it, in pixels of the original.
        stability_score: its area at a higher threshold divided by that at a lower one.
        crop_box: (x, y, width, height) of the crop that it comes from.
    """

    rle: Mapping[str, Any]
    area: int
    bbox: tuple[int, int, int, int]
    predicted_iou: float
    point: tuple[float, float]
    stability_score: float
    crop_box: tuple[int, int, int, int]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        x, y, width, height = (int(value) for value in document["bbox"])
        left, top, wide, high = (int(value) for value in document["crop_box"])
        ((point_x, point_y),) = document["point_coords"]
        return cls(
            rle=dict(document["rle"]),
            area=int(document["area"]),
            bbox=(x, y, width, height),
            predicted_iou=float(document["predicted_iou"]),
            point=(float(point_x), float(point_y)),
            stability_score=float(document["stability_score"]),
            crop_box=(left, top, wide, high),
        )


@dataclass(frozen=True, slots=True)
class Everything:
    """An everything job: every mask of an image.

    Attributes:
        job: its name.
        status: `queued`, `running`, `done`, `failed` or `stopped`.
        progress: the part of its points that is done, 0 to 1.
        width: pixels of the original, EXIF orientation applied.
        height: pixels of the original, EXIF orientation applied.
        masks: the masks, or those so far.
        path: its path in the service.
        queue_position: jobs before this one; None if it is not queued, or nobody knows.
        error: `{"code", "detail"}` if it failed.
        workers: the model's mask workers that are alive; with 0 the job waits until one is started. None if nobody
            knows, or if it waits for no worker.
    """

    job: str
    image_id: str
    model: str
    status: str
    progress: float
    width: int
    height: int
    masks: list[FoundMask]
    path: str
    queue_position: int | None = None
    error: Mapping[str, str] | None = None
    workers: int | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            job=str(document["job"]),
            image_id=str(document["image_id"]),
            model=str(document["model"]),
            status=str(document["status"]),
            progress=float(document["progress"]),
            width=int(document["width"]),
            height=int(document["height"]),
            masks=[FoundMask.parse(mask) for mask in document["masks"]],
            path=str(document["links"]["self"]),
            queue_position=document.get("queue_position"),
            error=document.get("error"),
            workers=document.get("workers"),
        )


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that the service serves.

    Attributes:
        default: True if it answers the requests that name no model.
        decoder: path under which a client can download its decoder, or None.
        workers: its workers that are alive, or None if nobody knows.
        frame: how an image becomes the model's input: `longest_side` or `squash`. None if the service does not say it.
    """

    name: str
    title: str
    default: bool
    licence: str
    weights_digest: str
    decoder: str | None
    workers: int | None = None
    frame: str | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            name=str(document["name"]),
            title=str(document["title"]),
            default=bool(document["default"]),
            licence=str(document["licence"]),
            weights_digest=str(document["weights_digest"]),
            decoder=document["links"]["decoder"],
            workers=document.get("workers"),
            frame=document.get("frame", {}).get("name"),
        )


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service can answer.

    Attributes:
        checks: for each thing that the service depends on, `ok` or a sentence that says what is wrong.
        degraded: the names in `checks` without which only a part of the service works, such as the workers of a model.
    """

    ready: bool
    checks: Mapping[str, str]
    degraded: tuple[str, ...] = ()

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        checks = {str(name): str(said) for name, said in document["checks"].items()}
        return cls(document["status"] == "ready", checks, tuple(map(str, document.get("degraded", ()))))
