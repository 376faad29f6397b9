"""The routes of an image, but for its masks."""

from __future__ import annotations

import json

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, answer, json_answer
from prompt_api.service.images import ImageStatus
from prompt_api.wire.limits import EVENT_STREAM_SECONDS, UPLOAD_FIELD
from shared.contract import errors

TAG = "Images"

_FILE = {"$ref": "#/components/schemas/ImageFile"}
_BODY: Fragment = {
    "required": True,
    "description": "The image file, raw or as a form. The bytes decide what it is: the `Content-Type` of a raw "
    "body is not looked at.",
    "content": {
        **{kind: {"schema": _FILE} for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream")},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {UPLOAD_FIELD: _FILE}, "required": [UPLOAD_FIELD]},
            "encoding": {UPLOAD_FIELD: {"contentType": "image/jpeg, image/png, image/webp"}},
        },
    },
}

_LOOKING_UP = (
    errors.ModelNotFound,
    errors.ImageNotFound,
    errors.ImageExpired,
    errors.StoreUnavailable,
    errors.Overloaded,
)
"""What asking for an image may end in; an embedding that was lost is queued again, which may find the queue full."""

_REFUSED = (errors.UnsupportedImage, errors.InvalidImage, errors.ImageTooLarge, errors.EncodeFailed)
"""What makes an image impossible to encode, found at once or by the worker."""

_NPY = {"application/octet-stream": {"schema": {"maxLength": 2_097_280, "description": "An `.npy` file, version 1.0."}}}

_EVENT: Fragment = {
    "description": "One event of the stream.",
    "type": "object",
    "properties": {
        "event": {"$ref": "#/components/schemas/ImageStatus"},
        "data": {
            "description": "The image resource as JSON, on one line.",
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/ImageResource"},
        },
        "retry": {"description": "Milliseconds after which to connect again.", "type": "integer"},
    },
    "required": ["event", "data"],
}

_STREAM = {
    "text/event-stream": {
        "schema": _EVENT,
        "examples": {
            status.value: {
                "summary": f"An image that is {status.value}",
                "value": {"event": status.value, "data": json.dumps(samples.image(status))},
            }
            for status in (ImageStatus.QUEUED, ImageStatus.ENCODING, ImageStatus.READY, ImageStatus.FAILED)
        },
    }
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/images",
        name="uploadImage",
        tag=TAG,
        summary="Upload an image",
        description="Stores the image and queues its encoding, once per image and model however many upload "
        "it. `image_id` is the SHA-256 of the bytes. With `wait` the answer is held until the image can be "
        "prompted.\n\n"
        "Uploading the same bytes again is cheap: it finds the embedding, or the encoding under way. It also "
        "tries a failed encoding again, unless the bytes themselves were the reason.",
        parameters=("model", "wait"),
        body=_BODY,
        answers={
            200: json_answer(
                "Encoded: it can be prompted.", "ImageResource", {"Ready": samples.image(ImageStatus.READY)}
            ),
            202: json_answer(
                "Accepted: it will be encoded.",
                "ImageResource",
                {"Queued": samples.image(ImageStatus.QUEUED), "Encoding": samples.image(ImageStatus.ENCODING)},
                headers=("Location", "Retry-After"),
            ),
        },
        errors=(*_LOOKING_UP, *_REFUSED, errors.InvalidParameter, errors.LengthRequired),
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}",
        name="getImage",
        tag=TAG,
        summary="Ask for an image",
        description="The image resource. It asks for the encoding too, where the chosen model has none: an "
        "embedding that was evicted comes back by itself while the bytes are kept. While `status` is `queued` or "
        "`encoding` the answer has a `Retry-After`.",
        parameters=("image_id", "model", "wait"),
        answers={
            200: json_answer(
                "Where the image is on its way.",
                "ImageResource",
                {
                    "Ready": samples.image(ImageStatus.READY),
                    "Queued": samples.image(ImageStatus.QUEUED),
                    "Failed": samples.image(ImageStatus.FAILED),
                },
            )
        },
        errors=(*_LOOKING_UP, errors.InvalidParameter),
    ),
    Operation(
        method="HEAD",
        path="/v1/images/{image_id}",
        name="hasImage",
        tag=TAG,
        summary="Ask whether an image is known",
        description="As `GET`, without a body: tells a client that has the file whether it must upload it.",
        parameters=("image_id", "model", "wait"),
        answers={200: answer("It is known.")},
        errors=(*_LOOKING_UP, errors.InvalidParameter),
    ),
    Operation(
        method="DELETE",
        path="/v1/images/{image_id}",
        name="deleteImage",
        tag=TAG,
        summary="Delete an image",
        description="The bytes, the embeddings of every served model, waiting jobs and what refining keeps in "
        "memory are gone, on every replica. An image that other tenants uploaded too is gone for you alone.",
        parameters=("image_id",),
        answers={204: answer("Gone.")},
        errors=(errors.ImageNotFound, errors.StoreUnavailable),
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}/events",
        name="followImage",
        tag=TAG,
        summary="Follow an image",
        description="Server-Sent Events, as a browser's `EventSource` reads them: one event at once and one at "
        "each change, named after the `status`, its data the image resource as JSON on one line. The stream ends "
        f"after `ready` or `failed`, at the latest after {EVENT_STREAM_SECONDS:.0f} seconds; a comment each second "
        "keeps it open. A busy server ends it after the first event and sets a longer `retry`. Close an "
        "`EventSource` on `ready` and `failed`: it connects again otherwise.",
        parameters=("image_id", "model"),
        answers={200: answer("The stream; the schema is that of one event.", _STREAM)},
        errors=_LOOKING_UP,
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}/embedding",
        name="getEmbedding",
        tag=TAG,
        summary="Download the embedding",
        description="The image embedding as an `.npy` file: float16, (1, 256, 64, 64), for decoding on the "
        "client with the model's `decoder.onnx`. It never changes while the weights do not.",
        parameters=("image_id", "model", "weights", "If-None-Match"),
        answers={
            200: answer("The file.", _NPY, headers=("ETag", "Cache-Control")),
            304: answer("The copy you have is still right.", headers=("ETag", "Cache-Control")),
        },
        errors=(*_LOOKING_UP, *_REFUSED, errors.EmbeddingPending),
    ),
)
