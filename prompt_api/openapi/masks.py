"""The route that answers prompts."""

from __future__ import annotations

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, json_answer
from prompt_api.wire.limits import MAX_PROMPT_BODY
from prompt_api.wire.requests import MAX_POINTS, MAX_PROMPTS, MAX_REQUEST_POINTS
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

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/images/{image_id}/masks",
        name="createMasks",
        tag=TAG,
        summary="Prompt an image",
        description=f"Answers 1 to {MAX_PROMPTS} prompts on one image, in order and independently of each other. The "
        "masks and scores are the same as those of `SamPredictor.predict`.\n\n"
        f"- A prompt has at least one of `points` with `labels` (at most {MAX_POINTS}, and {MAX_REQUEST_POINTS} in one "
        "request), `box`, `mask_token` and `mask_logits`, but never both of the last two.\n"
        "- Coordinates may lie up to one image size outside the image. Coordinates farther out are refused with "
        "`invalid-prompt`. They are not clamped.\n"
        "- `multimask: true` returns the three masks that SAM proposes for an ambiguous prompt, `false` its single "
        "mask.\n"
        "- To refine a mask, send its `mask_token` with more points. A token is valid only for its own image and "
        "model. Otherwise the answer is `invalid-prompt`.\n"
        "- With `wait`, the request is held until a pending embedding is there. Without it, the answer is 409 "
        "`embedding-pending`.",
        parameters=("image_id", "model", "wait"),
        body=_BODY,
        answers={
            200: json_answer("The masks.", "MasksResponse", samples.ANSWERS, headers=("Server-Timing",)),
        },
        errors=(
            errors.ModelNotFound,
            errors.ImageNotFound,
            errors.ImageExpired,
            errors.EmbeddingPending,
            errors.RequestTooLarge,
            errors.InvalidPrompt,
            errors.AnswerTooLarge,
            errors.InvalidParameter,
            errors.UnsupportedImage,
            errors.InvalidImage,
            errors.ImageTooLarge,
            errors.EncodeFailed,
            errors.StoreUnavailable,
            errors.Overloaded,
        ),
    ),
)
