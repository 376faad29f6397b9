"""The examples in the document, with the types of the values that they show."""

from __future__ import annotations

from typing import Any

from prompt_api.models.browser_runtime import RUNTIME
from prompt_api.service.browser import BrowserStatus
from prompt_api.service.everything import EverythingStatus
from prompt_api.service.images import ImageStatus
from prompt_api.wire.answers import (
    BrowserDecoder,
    ImageResource,
    Mask,
    MasksResponse,
    ModelDescription,
    RegionsResponse,
)
from prompt_api.wire.everything import EverythingJob, EverythingMask
from prompt_api.wire.requests import MAX_PROMPTS
from prompt_api.wire.similar import SimilarResponse
from shared.contract import errors
from shared.contract.errors import SamCacheError
from shared.contract.models import SAM1
from shared.contract.picture_formats import NAMED

OTHER_IMAGE = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
IMAGE_ID = "6d0f1c2b9a3e4f58b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4"
MODEL = "mobile_sam"
REFINE = "rq1YqSyxSslIyNDQyMDQ2MrOwNDMxMzU3Mk9KTDE1SzUwNLY0NFGK1VFKzs"
WIDTH, HEIGHT = 1800, 1200
JOB = "5f1c7d3b9a2e4f60b7c6d5e4f3a2b1c0"

PROBLEMS: dict[type[SamCacheError], SamCacheError] = {
    type(error): error
    for error in (
        errors.Unauthorized("this service wants a token: send `Authorization: Bearer …`"),
        errors.Forbidden("the token does not have the scope `write`", scope="write"),
        errors.ForeignOrigin("a page of another origin may not do this; add its origin to SAM_CORS_ORIGINS"),
        errors.UnknownHost("the service does not answer under this name; add it to SAM_ALLOWED_HOSTS"),
        errors.ImageNotFound("no image of this id was uploaded, or it was deleted or forgotten"),
        errors.ModelNotFound("model 'vit_x' is not served here; served models: mobile_sam"),
        errors.JobNotFound("no such everything job of this image is known: ask for it with POST"),
        errors.NotServed("masks of everything in an image are not served here yet; point at one object, or box it"),
        errors.EmbeddingPending("the image is not encoded yet", retry_after=1),
        errors.ImageExpired("the image's bytes are no longer kept; upload it again"),
        errors.LengthRequired("send the image as the request's body, with a Content-Length"),
        errors.ImageTooLarge(
            "the image has 30000x30000 pixels; at most 50000000 are accepted",
            width=30_000,
            height=30_000,
            max_pixels=50_000_000,
        ),
        errors.RequestTooLarge("a prompt request has at most 16777216 bytes", max_bytes=16_777_216),
        errors.AnswerTooLarge(
            "the answer has more than 100663296 bytes; send fewer prompts at once", max_bytes=100_663_296
        ),
        errors.UnsupportedImage(f"the image is not a {NAMED}"),
        errors.InvalidImage("the JPEG is truncated: its end marker is missing"),
        errors.InvalidPrompt(
            "prompts/0: labels must hold exactly one label per point",
            errors=[{"at": "prompts/0", "problem": "labels must hold exactly one label per point"}],
        ),
        errors.InvalidParameter("wait='soon' must be a number of seconds from 0 to 30"),
        errors.ImageUnreachable("https://elsewhere.example/1.jpg is not on the Label Studio of SAM_LABEL_STUDIO_URL"),
        errors.UrlNotAllowed("'elsewhere.example' is not a host of SAM_IMAGE_HOSTS"),
        errors.EncodeFailed("the encoding took longer than its time limit"),
        errors.EverythingFailed("the search for masks took longer than its time limit"),
        errors.RateLimited("more than 50/second prompts from this client", retry_after=1, limit="50/second"),
        errors.StoreUnavailable("Redis did not answer in time", retry_after=1),
        errors.Overloaded("1000 encodings are waiting", retry_after=1),
    )
}
"""An example of each error that a client can get."""


def image(status: ImageStatus) -> ImageResource:
    """Return an example of the image resource in `status`."""
    path, query = f"/v1/images/{IMAGE_ID}", f"?model={MODEL}"
    failed = status is ImageStatus.FAILED
    return {
        "image_id": IMAGE_ID,
        "model": MODEL,
        "region": None,
        "status": status,
        "width": WIDTH,
        "height": HEIGHT,
        "queue_position": 3 if status is ImageStatus.QUEUED else None,
        "workers": 2 if status in (ImageStatus.QUEUED, ImageStatus.ENCODING) else None,
        "error": {"code": "encode-failed", "detail": "the encoding took longer than its time limit"}
        if failed
        else None,
        "links": {
            "self": f"{path}{query}",
            "masks": f"{path}/masks{query}",
            "embedding": f"{path}/embedding{query}",
            "events": f"{path}/events{query}",
        },
    }


CLICK: dict[str, Any] = {"prompts": [{"points": [[905, 600]], "labels": [1]}], "multimask": False}
BOX: dict[str, Any] = {
    "prompts": [{"box": [890, 530, 920, 650], "points": [[895, 560]], "labels": [0]}],
    "multimask": False,
    "format": "polygons",
}
REFINEMENT: dict[str, Any] = {
    "prompts": [{"points": [[905, 600], [911, 638]], "labels": [1, 0], "mask_token": REFINE}],
    "multimask": False,
}
BATCH: dict[str, Any] = {
    "prompts": [{"points": [[905, 600]], "labels": [1]}, {"box": [120, 80, 460, 310]}],
    "format": "png",
}

IN_REGION: dict[str, Any] = {
    "prompts": [{"points": [[905, 600]], "labels": [1]}],
    "multimask": False,
    "region": [744, 444, 1000, 700],
}
CLEANED: dict[str, Any] = {
    "prompts": [{"points": [[905, 600]], "labels": [1]}],
    "multimask": False,
    "format": "polygons",
    "clean": {"fill_holes": 100, "remove_specks": 100, "keep": "clicked"},
    "tolerance": 1.5,
}
REGIONS: dict[str, Any] = {"regions": [[744, 444, 1000, 700]]}
AROUND: dict[str, Any] = {"around": [[890, 530, 920, 650], [120, 80, 460, 310]]}

REQUESTS = {
    "One click": CLICK,
    "A box, and a point that is not part of the object": BOX,
    "Refining the mask of an earlier answer": REFINEMENT,
    f"Several prompts at once, up to {MAX_PROMPTS}": BATCH,
    "A clean mask as polygons with few points": CLEANED,
    "A click on something small, answered from a region": IN_REGION,
    "A click, answered from the region that suits it once that is encoded": {**CLICK, "region": "auto"},
}


def _answer(mask: Mask) -> MasksResponse:
    return {
        "image_id": IMAGE_ID,
        "model": MODEL,
        "width": WIDTH,
        "height": HEIGHT,
        "region": None,
        "results": [{"masks": [mask]}],
    }


def _mask(form: str, payload: Any) -> MasksResponse:
    mask: Any = {"score": 0.9871, "area": 1200, "bbox": [900, 540, 12, 100], form: payload, "mask_token": REFINE}
    return _answer(mask)


ANSWERS = {
    "format: rle": _mask("rle", {"size": [HEIGHT, WIDTH], "counts": "lVoP1T3\\R1000000000000000000000TS`P1"}),
    "format: polygons": _mask("polygons", [{"outer": [[900, 540], [912, 540], [912, 640], [900, 640]], "holes": []}]),
    "format: png (shortened)": _mask("png", "iVBORw0KGgoAAAANSUhEUgAABwgAAASwAQAAAAD…"),
    "region: auto, until the region is encoded": {
        **_mask("rle", {"size": [HEIGHT, WIDTH], "counts": "lVoP1T3\\R1000000000000000000000TS`P1"}),
        "finer": {"region": (744, 444, 1000, 700), "status": ImageStatus.QUEUED},
    },
    "format: logits (shortened)": _mask("logits", "TsxPzE/MT8xPzE/MTsxOzE3MTcxNzE3MTcxNzE7M…"),
}
"""The same mask in each format. It is 12 pixels wide and 100 pixels high."""

REGIONS_ANSWER: RegionsResponse = {
    "image_id": IMAGE_ID,
    "model": MODEL,
    "width": WIDTH,
    "height": HEIGHT,
    "regions": [
        {"region": (744, 444, 1000, 700), "status": ImageStatus.READY, "queue_position": None, "error": None},
        {"region": None, "status": ImageStatus.READY, "queue_position": None, "error": None},
    ],
}

QUEUED_REGIONS: RegionsResponse = {
    **REGIONS_ANSWER,
    "regions": [{"region": (744, 444, 1000, 700), "status": ImageStatus.QUEUED, "queue_position": 3, "error": None}],
}

DESCRIPTION: ModelDescription = {
    "name": MODEL,
    "title": "MobileSAM (ViT-T)",
    "default": True,
    "weights_digest": "b5d54c39e66671c9731b9f471e585d82a46f0c5be1f40f1d8a1c9e7306b25d4f",
    "licence": "Apache-2.0",
    "architecture": SAM1.name,
    "image_size": SAM1.frame.side,
    "frame": {"name": SAM1.frame.name, "side": SAM1.frame.side},
    "embedding": {"shape": list(SAM1.tensors[0].shape), "dtype": "float16", "stored_as": "float16"},
    "tensors": [
        {"name": spec.name, "shape": list(spec.shape), "dtype": "float16", "stored_as": "float16"}
        for spec in SAM1.tensors
    ],
    "workers": 2,
    "mask_workers": 1,
    "links": {"decoder": f"/v1/models/{MODEL}/decoder.onnx"},
}

BROWSER_DECODER: BrowserDecoder = {
    "model": MODEL,
    "weights_digest": DESCRIPTION["weights_digest"],
    "status": BrowserStatus.READY,
    "detail": None,
    "runtime": RUNTIME.version,
    "digest": "0f4e1cf3a7e24c1f9d6f1f3f6a1b8d52",
    "parts": {"image_side": 5_943_861, "mask_side": 142_650, "prompt_side": 22_105_072},
}


def everything(status: EverythingStatus) -> EverythingJob:
    """Return an example of an everything job in `status`, without its masks."""
    done, failed = status is EverythingStatus.DONE, status is EverythingStatus.FAILED
    running, queued = status is EverythingStatus.RUNNING, status is EverythingStatus.QUEUED
    path = f"/v1/images/{IMAGE_ID}/everything/{JOB}"
    return {
        "job": JOB,
        "image_id": IMAGE_ID,
        "model": MODEL,
        "status": status,
        "progress": 1.0 if done else 0.41 if running else 0.0,
        "found": 1 if done or running else 0,
        "width": WIDTH,
        "height": HEIGHT,
        "queue_position": 2 if queued else None,
        "workers": 1 if queued else None,
        "error": {"code": "everything-failed", "detail": "the search for masks took longer than its time limit"}
        if failed
        else None,
        "links": {"self": path, "events": f"{path}/events"},
    }


EVERY_MASK: EverythingMask = {
    "rle": {"size": (HEIGHT, WIDTH), "counts": "lVoP1T3\\R1000000000000000000000TS`P1"},
    "area": 1200,
    "bbox": (900, 540, 12, 100),
    "predicted_iou": 0.9871,
    "point_coords": [(907.03125, 581.25)],
    "stability_score": 0.9731,
    "crop_box": (0, 0, WIDTH, HEIGHT),
}

SIMILAR_REQUESTS: dict[str, Any] = {
    "What looks like the thing under a point": {"examples": [{"points": [[905, 600]], "labels": [1]}]},
    "An example of another image, one of what is not meant, and a mask that is known already": {
        "examples": [
            {"mask_token": REFINE, "image_id": OTHER_IMAGE},
            {"box": [120, 80, 460, 310], "label": 0},
        ],
        "limit": 200,
        "min_similarity": 0.6,
        "min_score": 0.7,
        "size": [0.5, 2.0],
        "exclude": [{"rle": {"size": [HEIGHT, WIDTH], "counts": "lVoP1T3\\R1000000000000000000000TS`P1"}}],
        "format": "polygons",
        "clean": {"fill_holes": 100},
        "tolerance": 1.5,
    },
}

SIMILAR: SimilarResponse = {
    "image_id": IMAGE_ID,
    "model": MODEL,
    "width": WIDTH,
    "height": HEIGHT,
    "masks": [
        {
            "similarity": 0.9312,
            "score": 0.9871,
            "area": 1200,
            "bbox": (900, 540, 12, 100),
            "rle": {"size": (HEIGHT, WIDTH), "counts": "lVoP1T3\\R1000000000000000000000TS`P1"},
            "mask_token": REFINE,
            "point": (907.03125, 581.25),
        }
    ],
    "truncated": False,
}
