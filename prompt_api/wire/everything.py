"""The JSON types of everything jobs, and how a request becomes the options of the use case."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic accepts `typing.TypedDict` only from Python 3.12 on

from prompt_api.everything import options
from prompt_api.everything.options import EverythingOptions, Mode
from prompt_api.service.everything import EverythingStatus
from prompt_api.wire.answers import Count, Pixels, RecordedError, Rle, Sha256
from shared.contract.errors import InvalidParameter

MAX_BODY = 16 * 1024
"""Most bytes of a request for every mask."""

_Share = Annotated[float, Field(ge=0, le=1)]


class EverythingRequest(TypedDict):
    """What to look for: the options of `SamAutomaticMaskGenerator`, by its names and with its defaults.

    Attributes:
        points_per_side: points along each side of the grid; 32 by default.
        pred_iou_thresh: a mask is kept if its predicted IoU is larger; 0.88 by default.
        stability_score_thresh: a mask is kept if its stability is at least this; 0.95 by default.
        stability_score_offset: by how much the threshold of the logits is moved both ways to measure the stability;
            1 by default.
        box_nms_thresh: of two masks whose boxes have a larger IoU, the one of the lower score is dropped; 0.7 by
            default.
        crop_n_layers: layers of crops beyond the whole image; 0 by default. Layer i has 4**i crops, and each crop is
            encoded as a region.
        crop_nms_thresh: the same as `box_nms_thresh`, for masks of different crops; 0.7 by default. The smaller crop
            wins.
        crop_overlap_ratio: by which part of the short side the crops of the first layer overlap; 512 / 1500 by
            default.
        crop_n_points_downscale_factor: layer i has `points_per_side` divided by this factor to the power of i; 1 by
            default.
        min_mask_region_area: holes and islands of fewer pixels are removed; 0 by default, which removes none.
        mode: `exact` decodes every point of the grid and is the default; `fast` leaves out points that a confident
            mask already covers.
        format: how the masks are written; only `rle`.
    """

    points_per_side: NotRequired[Annotated[int, Field(ge=1, le=options.MAX_POINTS_PER_SIDE)]]
    pred_iou_thresh: NotRequired[_Share]
    stability_score_thresh: NotRequired[_Share]
    stability_score_offset: NotRequired[Annotated[float, Field(ge=0, le=options.MAX_STABILITY_OFFSET)]]
    box_nms_thresh: NotRequired[_Share]
    crop_n_layers: NotRequired[Annotated[int, Field(ge=0, le=options.MAX_CROP_LAYERS)]]
    crop_nms_thresh: NotRequired[_Share]
    crop_overlap_ratio: NotRequired[_Share]
    crop_n_points_downscale_factor: NotRequired[Annotated[int, Field(ge=1, le=options.MAX_DOWNSCALE_FACTOR)]]
    min_mask_region_area: NotRequired[Annotated[int, Field(ge=0, le=options.MAX_REGION_AREA)]]
    mode: NotRequired[Mode]
    format: NotRequired[Literal["rle"]]


class EverythingMask(TypedDict):
    """One mask, with the members of a record of `SamAutomaticMaskGenerator`.

    Attributes:
        rle: COCO compressed RLE of the mask at the original's size.
        area: number of pixels of the original that the mask covers.
        bbox: `[x, y, width, height]` of those pixels.
        predicted_iou: the IoU that the model predicts for the mask.
        point_coords: `[[x, y]]`, the point that gave the mask, in pixels of the original.
        stability_score: the area at a higher threshold divided by the area at a lower one.
        crop_box: `[x, y, width, height]` of the crop that the mask comes from.
    """

    rle: Rle
    area: Count
    bbox: tuple[Count, Count, Count, Count]
    predicted_iou: float
    point_coords: Annotated[list[tuple[float, float]], Field(min_length=1, max_length=1)]
    stability_score: float
    crop_box: tuple[Count, Count, Pixels, Pixels]


class EverythingLinks(TypedDict):
    """Attributes:
    self: path of the job.
    events: path of its Server-Sent Events.
    """

    self: str
    events: str


class EverythingJob(TypedDict):
    """An everything job.

    Attributes:
        job: its name: 32 hex digits, a hash of image, model, weights and options.
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model that finds the masks.
        status: how far the job is.
        progress: the part of the points that is done.
        found: number of masks; while the job runs, those so far.
        width: width of the EXIF-oriented original in pixels.
        height: height of the EXIF-oriented original in pixels.
        queue_position: number of jobs before this one; null if it is not known or `status` is not `queued`.
        workers: mask workers of the model that are alive. With 0, the job waits until one is started. Null if it is not
            known, or if the job waits for no worker.
        error: why the job failed; null unless `status` is `failed`.
        masks: the masks, the best first within each crop. Those so far while the job runs: later answers may lack some
            of them. Events do not have this member.
        links: paths for this job.
    """

    job: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    image_id: Sha256
    model: str
    status: EverythingStatus
    progress: Annotated[float, Field(ge=0, le=1)]
    found: Count
    width: Pixels
    height: Pixels
    queue_position: Count | None
    workers: Count | None
    error: RecordedError | None
    masks: NotRequired[list[EverythingMask]]
    links: EverythingLinks


def parse_options(body: bytes) -> EverythingOptions:
    """Return the options that the JSON body of a request names. An empty body names none.

    Raises:
        InvalidParameter: it is no JSON object, or an option is unknown or out of range. The message names each.
    """
    try:
        given: Any = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise InvalidParameter("the body is a JSON object of options, or empty")
    form = given.pop("format", "rle")
    if form != "rle":
        raise InvalidParameter(f"format={str(form)[:100]!r} must be rle: masks of everything have no other form")
    return EverythingOptions.of(given)
