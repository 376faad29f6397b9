"""Builds the whole OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prompt_api.openapi import (
    everything,
    images,
    label_studio,
    masks,
    models,
    parameters,
    refusals,
    samapi,
    service,
    similar,
    x_anylabeling,
)
from prompt_api.openapi.operation import SECURITY_SCHEME, Operation
from prompt_api.openapi.schemas import schemas
from shared.contract.settings import Settings

OPERATIONS: tuple[Operation, ...] = (
    *images.OPERATIONS,
    *masks.OPERATIONS,
    *everything.OPERATIONS,
    *similar.OPERATIONS,
    *models.OPERATIONS,
    *label_studio.OPERATIONS,
    *x_anylabeling.OPERATIONS,
    *samapi.OPERATIONS,
    *service.OPERATIONS,
)

_TAGS = {
    images.TAG: "Upload an image once, follow its encoding, download its embedding, delete it.",
    masks.TAG: "Send points, boxes and earlier masks, and get masks. An image is not encoded again for more prompts.",
    everything.TAG: "Find every mask of an image: a job that a mask worker runs.",
    similar.TAG: "Show one object, and find all that look like it, from the cached embedding alone.",
    models.TAG: "The models that are served, and their decoders for decoding on the client.",
    label_studio.TAG: "An ML backend for Label Studio: smart keypoints and rectangles become brush or polygon regions.",
    x_anylabeling.TAG: "The remote server protocol of X-AnyLabeling: marks become polygons or rectangles.",
    samapi.TAG: "The protocol of samapi, for QuPath's SAM extension: boxes and points become GeoJSON.",
    service.TAG: "Health checks, metrics, this document and the pages.",
}

_ABOUT = """\
Serves [Segment Anything](https://github.com/facebookresearch/segment-anything) to interactive tools: upload an image \
once, prompt it many times. A worker runs the heavy image encoder once per image. Every click is answered from the \
cached embedding.

- **Coordinates** are pixels of the EXIF-oriented original: x to the right, y down.
- **Images** are named by the lower-case hex SHA-256 of the uploaded bytes.
- **Errors** are `application/problem+json` (RFC 9457) with a stable `code`. Any route may also answer 500 \
`internal-error`. Errors of the web framework (`not-found`, `method-not-allowed`, `bad-request`) have the same form.
- **Access**: a service may require a token, as `Authorization: Bearer …`, for everything except the pages, this \
document and the health checks. Images that another tenant uploaded do not exist for you until you upload them too.
- **Every answer** has an `X-Request-ID`. It is your own if you sent one of 1 to 64 letters, digits, `.`, `_` and `-`. \
The service's logs contain it.
- **HEAD** works on every route that has `GET`.
"""


def build(settings: Settings, served: Sequence[str], base_path: str = "/") -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service.

    Args:
        settings: the settings whose limits the document states.
        served: names of the served models, the default first.
        base_path: the path that the service is mounted at.
    """
    paths: dict[str, dict[str, Any]] = {}
    secured = bool(settings.tokens.strip())
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.fragment(secured=secured)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "SAM embedding cache",
            "version": "1",
            "summary": "Encode an image once, prompt it many times.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_path}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas(settings),
            "parameters": parameters.components(served),
            "headers": parameters.HEADERS,
            "examples": refusals.examples(),
            "securitySchemes": {
                SECURITY_SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of this service. It is also accepted as the password of Basic "
                    "authentication, with any user name.",
                }
            },
        },
    }
