"""The routes that have regions encoded and answer prompts."""

from __future__ import annotations

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, json_answer
from prompt_api.openapi.refusals import ON_EMBEDDINGS
from prompt_api.wire.given_masks import MAX_MASKS
from prompt_api.wire.limits import MAX_PROMPT_BODY, MAX_REGIONS_BODY
from prompt_api.wire.requests import MAX_POINTS, MAX_PROMPTS, MAX_REGIONS, MAX_REQUEST_POINTS
from shared.contract import errors

TAG = "Masks"

_BODY: Fragment = {
    "required": True,
    "description": f"At most {MAX_PROMPT_BODY:,} bytes.",
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/MasksRequest"},
            "examples": {
                f"request-{number}": {"summary": words, "value": value}
                for number, (words, value) in enumerate(samples.REQUESTS.items(), start=1)
            },
        }
    },
}

_REGIONS_BODY: Fragment = {
    "required": True,
    "description": f"At most {MAX_REGIONS_BODY:,} bytes.",
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/RegionsRequest"},
            "examples": {
                "regions": {"summary": "A region", "value": samples.REGIONS},
                "around": {"summary": "The regions that suit two objects", "value": samples.AROUND},
            },
        }
    },
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/images/{image_id}/regions",
        name="encodeRegions",
        tag=TAG,
        summary="Have regions encoded",
        description=f"Queues the encoding of 1 to {MAX_REGIONS} regions of an image, and answers the rectangle and the "
        "status of each. With `around`, the service takes the region that suits each object; neighbours share one. "
        "With `wait`, the answer is held until all are encoded or failed.\n\n"
        "A region is encoded once, however many ask for it. Each one that this request queues counts as an upload of "
        "the rate limit. Of one image `SAM_MAX_REGIONS` are kept: beyond, the one that was asked for longest ago makes "
        "way. A region that failed is tried again.",
        parameters=("image_id", "model", "wait"),
        body=_REGIONS_BODY,
        answers={
            200: json_answer(
                "Every region is encoded or failed.", "RegionsResponse", {"Ready": samples.REGIONS_ANSWER}
            ),
            202: json_answer(
                "At least one region will be encoded.",
                "RegionsResponse",
                {"Queued": samples.QUEUED_REGIONS},
                headers=("Retry-After",),
            ),
        },
        errors=(
            errors.ModelNotFound,
            errors.ImageNotFound,
            errors.ImageExpired,
            errors.InvalidParameter,
            errors.RequestTooLarge,
            errors.StoreUnavailable,
            errors.Overloaded,
        ),
    ),
    Operation(
        method="POST",
        path="/v1/images/{image_id}/masks",
        name="createMasks",
        tag=TAG,
        summary="Prompt an image",
        description=f"Answers 1 to {MAX_PROMPTS} prompts on one image, in order and independently of each other. The "
        "masks and scores are the same as those of `SamPredictor.predict`.\n\n"
        f"- A prompt has at least one of `points` with `labels` (at most {MAX_POINTS}, and {MAX_REQUEST_POINTS} in one "
        "request), `box`, `mask_token`, `mask_logits` and `mask`, and at most one of the last three.\n"
        f"- `mask` is a mask of the image's size to refine, as RLE or PNG; at most {MAX_MASKS} in one request. Without "
        "a box, the box around it and the positive points is used too.\n"
        "- `clean` fills holes, removes specks and keeps the largest or the clicked part of each mask. `tolerance` is "
        "how many pixels `polygons` may leave the mask's edge; they stay valid, and each part stays one polygon with "
        "its holes.\n"
        "- Coordinates may lie up to one image size outside the image. Coordinates farther out are refused with "
        "`invalid-prompt`. They are not clamped.\n"
        "- `multimask: true` returns the three masks that SAM proposes for an ambiguous prompt, `false` its single "
        "mask.\n"
        "- With `region`, the prompts are answered from that part of the image, which the encoder sees at a larger "
        "scale: small things in a large picture get their true outline. Coordinates and masks stay those of the whole "
        "image, and points may lie outside the region. A region that is not encoded yet is queued.\n"
        '- With `"region": "auto"` the service chooses a region that suits the prompts. Until it is encoded, the whole '
        "image answers and `finer` names the region; `wait` covers it. It never makes an answer wait otherwise.\n"
        "- To refine a mask, send its `mask_token` with more points. A token is valid only for its own image, region "
        "and model. Otherwise the answer is `invalid-prompt`.\n"
        "- With `wait`, the request is held until a pending embedding is there. Without it, the answer is 409 "
        "`embedding-pending`.",
        parameters=("image_id", "model", "wait"),
        body=_BODY,
        answers={
            200: json_answer("The masks.", "MasksResponse", samples.ANSWERS, headers=("Server-Timing",)),
        },
        errors=ON_EMBEDDINGS,
    ),
)
