"""The routes of an image, except its masks."""

from __future__ import annotations

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, answer, event_stream, json_answer
from prompt_api.service.images import ImageStatus
from prompt_api.wire.limits import EVENT_STREAM_SECONDS, UPLOAD_FIELD
from shared.contract import errors
from shared.contract.picture_formats import MEDIA_TYPES
from shared.images.preview import LONGEST_SIDE

TAG = "Images"

_FILE = {"$ref": "#/components/schemas/ImageFile"}
_BODY: Fragment = {
    "required": True,
    "description": "The image file, raw or in a form; or its URL as JSON, if this service may fetch from there. Its "
    "format is detected from the bytes. The `Content-Type` of a raw image is ignored.",
    "content": {
        **{kind: {"schema": _FILE} for kind in (*MEDIA_TYPES, "application/octet-stream")},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {UPLOAD_FIELD: _FILE}, "required": [UPLOAD_FIELD]},
            "encoding": {UPLOAD_FIELD: {"contentType": ", ".join(MEDIA_TYPES)}},
        },
        "application/json": {
            "schema": {"$ref": "#/components/schemas/ImageReference"},
            "examples": {
                "by-https": {"summary": "On an allowed host", "value": {"url": "https://images.example.org/cup.jpg"}},
                "by-s3": {"summary": "In an allowed bucket", "value": {"url": "s3://photos/2026/cup.jpg"}},
            },
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
"""Errors of any request for an image. A lost embedding is queued again, which fails if the queue is full."""

_REFUSED = (errors.UnsupportedImage, errors.InvalidImage, errors.ImageTooLarge, errors.EncodeFailed)
"""Errors of an image that cannot be encoded, found by the API or by the worker."""

_ARRAYS = {
    "application/octet-stream": {
        "schema": {"description": "An `.npy` file, version 1.0; for a model with several tensors an `.npz` file."}
    }
}

_JPEG = {"image/jpeg": {"schema": {"maxLength": 16_777_216, "description": "A JPEG."}}}

_STREAM = event_stream(
    "ImageStatus",
    "The image resource as JSON, on one line.",
    "ImageResource",
    {
        status.value: (f"An image with the status {status.value}", samples.image(status))
        for status in (ImageStatus.QUEUED, ImageStatus.ENCODING, ImageStatus.READY, ImageStatus.FAILED)
    },
)

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/images",
        name="uploadImage",
        tag=TAG,
        summary="Upload an image",
        description="Stores the image and queues its encoding. An image is encoded once per model, even if several "
        "clients upload it. `image_id` is the SHA-256 of the bytes. With `wait`, the answer is held until the image "
        "can be prompted.\n\n"
        "Uploading the same bytes again is cheap, because it finds the embedding or the running encoding. It also "
        "retries a failed encoding, unless the bytes themselves were the reason.\n\n"
        'With `{"url": …}` the service fetches the image itself, from the hosts and buckets of `SAM_IMAGE_HOSTS` '
        "alone.",
        parameters=("model", "wait"),
        body=_BODY,
        answers={
            200: json_answer(
                "The image is encoded and can be prompted.",
                "ImageResource",
                {"Ready": samples.image(ImageStatus.READY)},
            ),
            202: json_answer(
                "The image is accepted and will be encoded.",
                "ImageResource",
                {"Queued": samples.image(ImageStatus.QUEUED), "Encoding": samples.image(ImageStatus.ENCODING)},
                headers=("Location", "Retry-After"),
            ),
        },
        errors=(
            *_LOOKING_UP,
            *_REFUSED,
            errors.InvalidParameter,
            errors.LengthRequired,
            errors.ImageUnreachable,
            errors.UrlNotAllowed,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}",
        name="getImage",
        tag=TAG,
        summary="Get an image",
        description="Returns the image resource. If the chosen model has no embedding of the image, this request also "
        "queues the encoding. So an embedding that was evicted is made again while the bytes are kept. With `region`, "
        "all of this is about that region. While `status` is `queued` or `encoding`, the answer has a `Retry-After`.",
        parameters=("image_id", "model", "region", "wait"),
        answers={
            200: json_answer(
                "The image resource.",
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
        summary="Check whether an image is known",
        description="The same as `GET`, without a body. A client that has the file learns whether it must upload it.",
        parameters=("image_id", "model", "region", "wait"),
        answers={200: answer("The image is known.")},
        errors=(*_LOOKING_UP, errors.InvalidParameter),
    ),
    Operation(
        method="DELETE",
        path="/v1/images/{image_id}",
        name="deleteImage",
        tag=TAG,
        summary="Delete an image",
        description="Deletes the bytes, the embeddings of every served model, also of regions, waiting jobs and the "
        "logits kept for refining, on every replica. If other tenants uploaded the image too, it is deleted only for "
        "you.",
        parameters=("image_id",),
        answers={204: answer("The image is deleted.")},
        errors=(errors.ImageNotFound, errors.StoreUnavailable),
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}/events",
        name="followImage",
        tag=TAG,
        summary="Follow an image",
        description="Sends Server-Sent Events, as a browser's `EventSource` reads them: the first at once, then one "
        "at each change. An event is named after the `status`. Its data is the image resource as JSON on one line.\n\n"
        f"The stream ends after `ready` or `failed`, or after {EVENT_STREAM_SECONDS:.0f} seconds. A comment each "
        "second keeps it open. A busy server ends it after the first event and sets a longer `retry`. Close an "
        "`EventSource` on `ready` and `failed`, because it reconnects otherwise.",
        parameters=("image_id", "model", "region"),
        answers={200: answer("The stream. The schema describes one event.", _STREAM)},
        errors=(*_LOOKING_UP, errors.InvalidParameter),
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}/preview",
        name="getPreview",
        tag=TAG,
        summary="Download a preview",
        description="Returns a JPEG of an image that not every browser shows as the service sees it: TIFF, HEIC and "
        f"16-bit grey. It is upright, and its longer side has at most {LONGEST_SIDE} pixels. A worker makes it when it "
        "encodes the image. Other images have none, because browsers show their files.",
        parameters=("image_id", "model"),
        answers={200: answer("The JPEG.", _JPEG, headers=("Cache-Control",))},
        errors=(*_LOOKING_UP, *_REFUSED, errors.EmbeddingPending),
    ),
    Operation(
        method="GET",
        path="/v1/images/{image_id}/embedding",
        name="getEmbedding",
        tag=TAG,
        summary="Download the embedding",
        description="Returns the image embedding in float16, for decoding on the client with the model's "
        "`decoder.onnx`: an `.npy` file for a model with one tensor, an `.npz` file for several. With `region` it is "
        "that of the region, which fills the frame as if it were the image. It does not change unless the weights "
        "change.",
        parameters=("image_id", "model", "region", "weights", "If-None-Match"),
        answers={
            200: answer("The file.", _ARRAYS, headers=("ETag", "Cache-Control")),
            304: answer("Your copy is still valid.", headers=("ETag", "Cache-Control")),
        },
        errors=(*_LOOKING_UP, *_REFUSED, errors.EmbeddingPending, errors.InvalidParameter),
    ),
)
