"""The parameters and headers of the routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prompt_api.integrations.samapi.wire import SamType
from prompt_api.openapi.samples import BROWSER_DECODER, IMAGE_ID, JOB
from prompt_api.wire.limits import MAX_WAIT

HEADERS: dict[str, dict[str, Any]] = {
    "Location": {
        "description": "Path of the image resource, or of the everything job: its `self` link.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": f"/v1/images/{IMAGE_ID}?model=mobile_sam",
    },
    "Retry-After": {
        "description": "Whole seconds to wait before you try again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"type": "string"},
        "example": "Bearer",
    },
    "ETag": {
        "description": "A strong tag of the content. Send it back as `If-None-Match`.",
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
        "example": '"680c4392eabc877b80331e7e2a8f0029"',
    },
    "Cache-Control": {
        "description": "How long the answer may be cached.",
        "schema": {"type": "string"},
        "example": "private, max-age=31536000, immutable",
    },
    "Content-Range": {
        "description": "The range of these bytes and the total size.",
        "schema": {"type": "string"},
        "example": "bytes 0-1048575/16501766",
    },
    "Server-Timing": {
        "description": "Time of each stage in ms: `fetch` (from Redis), `prepare` (of the embedding for the decoder), "
        "`decode` and `encode`. The first two are 0 for an image in memory. Other stages follow if the request had "
        "them.",
        "schema": {"type": "string"},
        "example": "fetch;dur=0.00, prepare;dur=0.00, decode;dur=24.81, encode;dur=2.07",
    },
}

_PARAMETERS: dict[str, dict[str, Any]] = {
    "job": {
        "in": "path",
        "required": True,
        "description": "Name of an everything job: its `job`.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "example": JOB,
    },
    "image_id": {
        "in": "path",
        "required": True,
        "description": "Lower-case hex SHA-256 of the uploaded bytes. A client that has the file can compute it and "
        "check whether the image is known before it uploads.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "example": IMAGE_ID,
    },
    "name": {"in": "path", "required": True, "description": "The model's name."},
    "model": {"in": "query", "description": "The model that encodes the image and answers prompts."},
    "wait": {
        "in": "query",
        "description": "Longest time in seconds to hold the answer until the embedding is there. A busy server may "
        "answer earlier, as if it were 0, so always check `status`.",
        "schema": {"type": "number", "minimum": 0, "maximum": int(MAX_WAIT), "default": 0},
    },
    "region": {
        "in": "query",
        "description": "A region of the image, as `x0,y0,x1,y1`: whole pixels, x0 < x1 and y0 < y1, at least 16 a "
        "side, inside the image. Without it, or with the whole image's corners, the whole image.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,9},[0-9]{1,9},[0-9]{1,9},[0-9]{1,9}$"},
        "example": "744,444,1000,700",
    },
    "weights": {
        "in": "query",
        "description": "`weights_digest` of the model that will decode the embedding. The answer is 404 "
        "`model-not-found` if the model has other weights now, so an old copy is never mixed with them.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
    "form": {
        "in": "query",
        "description": "The form of the graph: `plain`, or `meta` for that of segment_anything's own ONNX export.",
        "schema": {"type": "string", "enum": ["plain", "meta"], "default": "plain"},
    },
    "digest": {
        "in": "path",
        "required": True,
        "description": "The `digest` from the description of the browser decoder.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "example": BROWSER_DECODER["digest"],
    },
    "part": {
        "in": "path",
        "required": True,
        "description": "Name of the graph.",
        "schema": {"type": "string", "enum": list(BROWSER_DECODER["parts"])},
        "example": "image_side",
    },
    "type": {
        "in": "query",
        "description": "A model type of samapi.",
        "schema": {"type": "string", "enum": list(SamType)},
        "example": SamType.VIT_T,
    },
    "If-None-Match": {
        "in": "header",
        "description": "The `ETag` of your copy. The answer is 304 without a body if the copy is still valid.",
        "schema": {"type": "string"},
    },
    "Range": {
        "in": "header",
        "description": "Range of bytes to send, to continue a broken download.",
        "schema": {"type": "string"},
    },
}


def reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def components(models: Sequence[str]) -> dict[str, Any]:
    """Return every parameter, for a service that serves `models`, the default first."""
    served = {"type": "string", "enum": list(models)}
    described = {name: {"name": name, **parameter} for name, parameter in _PARAMETERS.items()}
    described["name"] |= {"schema": served, "example": models[0]}
    described["model"] |= {"schema": {**served, "default": models[0]}}
    return described
