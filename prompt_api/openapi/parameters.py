"""Parameters and headers that routes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prompt_api.openapi.samples import BROWSER_DECODER, IMAGE_ID
from prompt_api.wire.limits import MAX_WAIT

HEADERS: dict[str, dict[str, Any]] = {
    "Location": {
        "description": "The image resource to ask next: the `self` link.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": f"/v1/images/{IMAGE_ID}?model=mobile_sam",
    },
    "Retry-After": {
        "description": "Whole seconds after which asking again makes sense.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"type": "string"},
        "example": "Bearer",
    },
    "ETag": {
        "description": "Strong: it names the bytes. Send it back as `If-None-Match`.",
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
        "example": '"680c4392eabc877b80331e7e2a8f0029"',
    },
    "Cache-Control": {
        "description": "How long the answer may be kept.",
        "schema": {"type": "string"},
        "example": "private, max-age=31536000, immutable",
    },
    "Content-Range": {
        "description": "Which bytes these are, of how many.",
        "schema": {"type": "string"},
        "example": "bytes 0-1048575/16501766",
    },
    "Server-Timing": {
        "description": "Where the time went, in ms: `fetch` (Redis) and `prepare` (handing the embedding to "
        "the decoder), both 0 for an image in memory; `decode`; `encode`. Others follow where the request met them.",
        "schema": {"type": "string"},
        "example": "fetch;dur=0.00, prepare;dur=0.00, decode;dur=24.81, encode;dur=2.07",
    },
}

_PARAMETERS: dict[str, dict[str, Any]] = {
    "image_id": {
        "in": "path",
        "required": True,
        "description": "Lower-case hex SHA-256 of the uploaded bytes. A client that has the file can compute "
        "it, and ask before it uploads.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "example": IMAGE_ID,
    },
    "name": {"in": "path", "required": True, "description": "The model's name."},
    "model": {"in": "query", "description": "The model that encodes and answers."},
    "wait": {
        "in": "query",
        "description": "Seconds to hold the answer until the embedding is there. A busy server may answer "
        "earlier, as if it were 0: always look at `status`.",
        "schema": {"type": "number", "minimum": 0, "maximum": int(MAX_WAIT), "default": 0},
    },
    "weights": {
        "in": "query",
        "description": "`weights_digest` of the model that will decode the embedding: 404 `model-not-found` once the "
        "model has other weights, so that a copy kept for long is never mixed with them.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
    "digest": {
        "in": "path",
        "required": True,
        "description": "What the description of the decoder says.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "example": BROWSER_DECODER["digest"],
    },
    "part": {
        "in": "path",
        "required": True,
        "description": "Which graph.",
        "schema": {"type": "string", "enum": list(BROWSER_DECODER["parts"])},
        "example": "image_side",
    },
    "If-None-Match": {
        "in": "header",
        "description": "The `ETag` of the copy you have: 304 without a body if it is still the same.",
        "schema": {"type": "string"},
    },
    "Range": {
        "in": "header",
        "description": "Bytes to send instead of all, to go on with a broken download.",
        "schema": {"type": "string"},
    },
}


def reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def components(models: Sequence[str]) -> dict[str, Any]:
    """Every parameter, for a service that serves `models`, the default first."""
    served = {"type": "string", "enum": list(models)}
    described = {name: {"name": name, **parameter} for name, parameter in _PARAMETERS.items()}
    described["name"] |= {"schema": served, "example": models[0]}
    described["model"] |= {"schema": {**served, "default": models[0]}}
    return described
