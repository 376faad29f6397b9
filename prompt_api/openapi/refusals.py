"""Describes errors as OpenAPI responses, from the error tree and its map to statuses."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from http import HTTPStatus
from itertools import groupby
from typing import Any

from prompt_api.openapi.samples import PROBLEMS
from prompt_api.wire.problems import CHALLENGE, MEDIA_TYPE, STATUS, document
from shared.contract import errors
from shared.contract.errors import SamCacheError

ErrorClass = type[SamCacheError]

CARRIED_IMAGE: tuple[ErrorClass, ...] = (
    errors.ModelNotFound,
    errors.InvalidPrompt,
    errors.RequestTooLarge,
    errors.UnsupportedImage,
    errors.InvalidImage,
    errors.ImageTooLarge,
    errors.EncodeFailed,
    errors.StoreUnavailable,
    errors.Overloaded,
)
"""The errors of a route whose requests carry their image with the prompts."""

ON_EMBEDDINGS: tuple[ErrorClass, ...] = (
    *CARRIED_IMAGE,
    errors.ImageNotFound,
    errors.ImageExpired,
    errors.EmbeddingPending,
    errors.AnswerTooLarge,
    errors.InvalidParameter,
)
"""The errors of a route that answers prompts on images which were uploaded before."""


def refusals(kinds: Iterable[ErrorClass]) -> dict[str, Any]:
    """Return the responses, by status, of an operation that may raise `kinds`."""
    ordered = sorted(set(kinds), key=lambda kind: (STATUS[kind], kind.code))
    return {str(status): _response(status, list(group)) for status, group in groupby(ordered, key=STATUS.__getitem__)}


def problem_response(status: int, codes: list[str], description: str, *, retry_after: bool = False) -> dict[str, Any]:
    """Return a response that is a problem document with one of `codes`. `components/examples` has one for each."""
    headers = [
        *(["Retry-After"] if retry_after else []),
        *(["WWW-Authenticate"] if any(code in CHALLENGE for code in codes) else []),
    ]
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    return {
        "description": description,
        **({"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers}} if headers else {}),
        "content": {
            MEDIA_TYPE: {
                "schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]},
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def examples() -> dict[str, Any]:
    """Return an example problem document for every kind of error, by code."""
    found = {kind.code: _example(meaning(kind), _problem(kind)) for kind in STATUS}
    for status, (code, detail) in FRAMEWORK.items():
        found[code] = _example(f"{HTTPStatus(status).phrase}.", document(status, code, detail))
    return found


FRAMEWORK = {
    416: ("requested-range-not-satisfiable", "The server cannot provide the requested range."),
    500: ("internal-error", "the service failed; its log says why"),
}
"""Codes and details, by status, of documented errors that are not in the error tree."""


def meaning(kind: ErrorClass) -> str:
    """Return the first line of the error class's docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _response(status: int, kinds: list[ErrorClass]) -> dict[str, Any]:
    described = "\n".join(f"- `{kind.code}`: {meaning(kind)}" for kind in kinds)
    # `Retry-After` is documented only if every error of this status has it.
    retry_after = all(PROBLEMS[kind].retry_after is not None for kind in kinds)
    return problem_response(status, [kind.code for kind in kinds], described, retry_after=retry_after)


def _problem(kind: ErrorClass) -> dict[str, Any]:
    sample = PROBLEMS[kind]
    return document(STATUS[kind], sample.code, sample.detail, sample.extra)


def _example(summary: str, value: Any) -> dict[str, Any]:
    return {"summary": summary, "value": value}
