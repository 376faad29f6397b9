"""The routes of everything jobs."""

from __future__ import annotations

from typing import Any

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, answer, event_stream, json_answer
from prompt_api.service.everything import EverythingStatus
from prompt_api.wire.everything import MAX_BODY
from prompt_api.wire.limits import EVENT_STREAM_SECONDS
from shared.contract import errors

TAG = "Everything"

_BODY: Fragment = {
    "required": False,
    "description": f"At most {MAX_BODY:,} bytes. Without a body every option has its default.",
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/EverythingRequest"},
            "examples": {
                "defaults": {"summary": "The defaults of SamAutomaticMaskGenerator", "value": {}},
                "coarse": {
                    "summary": "Fewer points, and the fast way",
                    "value": {"points_per_side": 16, "mode": "fast"},
                },
                "crops": {
                    "summary": "Small things too",
                    "value": {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2, "min_mask_region_area": 100},
                },
            },
        }
    },
}

_STREAM = event_stream(
    "EverythingStatus",
    "The job as JSON, on one line, without its masks.",
    "EverythingJob",
    {
        status.value: (f"A job with the status {status.value}", samples.everything(status))
        for status in EverythingStatus
    },
)


def _job(status: EverythingStatus, *masks: Any) -> dict[str, Any]:
    return {**samples.everything(status), "masks": list(masks)}


_LOOKING_UP = (errors.ImageNotFound, errors.JobNotFound, errors.StoreUnavailable)

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/images/{image_id}/everything",
        name="findEverything",
        tag=TAG,
        summary="Find every mask",
        description="Queues a job that finds every mask of the image, as `SamAutomaticMaskGenerator` of the "
        "segment-anything package does with the same options. A mask worker runs it. The job's name is a hash of "
        "image, model, weights and options: the same request is one job, by whomever it is asked, and its masks are "
        "kept for a while. With `wait`, the answer is held until the job has ended.\n\n"
        "If the image is not encoded yet, or its embedding was lost, this request also queues that, and the job waits "
        "for it. So it does for each crop, which is encoded as a region. A job that failed or was stopped is tried "
        "again.",
        parameters=("image_id", "model", "wait"),
        body=_BODY,
        answers={
            200: json_answer(
                "The masks are there.", "EverythingJob", {"Done": _job(EverythingStatus.DONE, samples.EVERY_MASK)}
            ),
            202: json_answer(
                "The job waits, or runs.",
                "EverythingJob",
                {
                    "Queued": _job(EverythingStatus.QUEUED),
                    "Running": _job(EverythingStatus.RUNNING, samples.EVERY_MASK),
                },
                headers=("Location", "Retry-After"),
            ),
        },
        errors=(
            errors.ModelNotFound,
            errors.ImageNotFound,
            errors.ImageExpired,
            errors.EmbeddingPending,
            errors.RequestTooLarge,
            errors.InvalidParameter,
            errors.AnswerTooLarge,
            errors.UnsupportedImage,
            errors.InvalidImage,
            errors.ImageTooLarge,
            errors.EncodeFailed,
            errors.EverythingFailed,
            errors.StoreUnavailable,
            errors.Overloaded,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}/everything/{job}",
        name="getEverything",
        tag=TAG,
        summary="Get a job",
        description="Returns the job and its masks; while it runs, the masks so far. A job that the queue lost is "
        "queued again. While `status` is `queued` or `running`, the answer has a `Retry-After`.",
        parameters=("image_id", "job", "wait"),
        answers={
            200: json_answer(
                "The job.",
                "EverythingJob",
                {
                    "Done": _job(EverythingStatus.DONE, samples.EVERY_MASK),
                    "Running": _job(EverythingStatus.RUNNING, samples.EVERY_MASK),
                    "Failed": _job(EverythingStatus.FAILED),
                },
            )
        },
        errors=(
            *_LOOKING_UP,
            errors.InvalidParameter,
            errors.EverythingFailed,
            errors.AnswerTooLarge,
            errors.Overloaded,
        ),
    ),
    Operation(
        method="DELETE",
        path="/v1/images/{image_id}/everything/{job}",
        name="stopEverything",
        tag=TAG,
        summary="Stop a job",
        description="Stops the job within about a second, and deletes its masks. If other tenants asked for it too, it "
        "goes on for them.",
        parameters=("image_id", "job"),
        answers={204: answer("The job is stopped.")},
        errors=_LOOKING_UP,
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}/everything/{job}/events",
        name="followEverything",
        tag=TAG,
        summary="Follow a job",
        description="Sends Server-Sent Events: the first at once, then one at each change, about once a second while "
        "the job runs. An event is named after the `status`. Its data is the job as JSON on one line, without its "
        f"masks.\n\nThe stream ends after `done`, `failed` or `stopped`, or after {EVENT_STREAM_SECONDS:.0f} seconds. "
        "A comment each second keeps it open. A busy server ends it after the first event and sets a longer `retry`.",
        parameters=("image_id", "job"),
        answers={200: answer("The stream. The schema describes one event.", _STREAM)},
        errors=(*_LOOKING_UP, errors.Overloaded),
    ),
)
