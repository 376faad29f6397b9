"""The route that finds similar objects."""

from __future__ import annotations

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, json_answer
from prompt_api.openapi.refusals import ON_EMBEDDINGS
from prompt_api.wire.given_masks import MAX_MASKS
from prompt_api.wire.limits import MAX_PROMPT_BODY
from prompt_api.wire.similar import MAX_EXAMPLES, MAX_EXCLUDED

TAG = "Similar objects"

_BODY: Fragment = {
    "required": True,
    "description": f"At most {MAX_PROMPT_BODY:,} bytes.",
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/SimilarRequest"},
            "examples": {
                f"request-{number}": {"summary": words, "value": value}
                for number, (words, value) in enumerate(samples.SIMILAR_REQUESTS.items(), start=1)
            },
        }
    },
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/images/{image_id}/similar",
        name="findSimilar",
        tag=TAG,
        summary="Find what looks like some examples",
        description="Searches the image for objects that look like the examples, by the features of its embedding, and "
        "answers their masks by falling similarity. Nothing is encoded for it.\n\n"
        f"- `examples` are 1 to {MAX_EXAMPLES} objects. Each is a prompt (`points` with `labels`, `box`), a "
        "`mask_token` or a `mask`. A prompt of one point means the best of SAM's three masks, any other prompt SAM's "
        "single mask. Examples with the label 1 are meant, those with the label 0 are not.\n"
        "- With `image_id`, an example is in another image that you have uploaded too, which is encoded for the same "
        "model. A `mask_token` and a `mask` belong to that image.\n"
        "- An example of the searched image is found like any other object. To leave it out, and whatever you have "
        f"already, give masks in `exclude`: at most {MAX_EXCLUDED}. At most {MAX_MASKS} masks of one request are "
        "PNGs.\n"
        "- No two masks of the answer are the same object: their IoU is at most 0.5. This also holds for the masks in "
        "`exclude` and the examples with the label 0.\n"
        "- `truncated` says that there may be more: `limit`, the time limit of a search or the rate limit ended it.\n"
        "- Each example, and each point that the search decodes, counts as a prompt of the rate limit.\n"
        "- With `wait`, the request is held until pending embeddings are there. Without it, the answer is 409 "
        "`embedding-pending`.",
        parameters=("image_id", "model", "wait"),
        body=_BODY,
        answers={
            200: json_answer(
                "The masks.", "SimilarResponse", {"One object": samples.SIMILAR}, headers=("Server-Timing",)
            ),
        },
        errors=ON_EMBEDDINGS,
    ),
)
