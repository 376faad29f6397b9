"""The types that describe routes, and their translation to OpenAPI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prompt_api.access.pages import OPEN_TO_ANY_HOST, READING
from prompt_api.access.scopes import Scope, needed_scope, spent_quota
from prompt_api.openapi import parameters
from prompt_api.openapi.refusals import refusals
from shared.contract.errors import Forbidden, ForeignOrigin, RateLimited, SamCacheError, Unauthorized, UnknownHost

SECURITY_SCHEME = "token"

Fragment = dict[str, Any]
"""A piece of an OpenAPI document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one route.

    Attributes:
        method: HTTP method in upper case.
        path: path with parameters in braces.
        name: the `operationId`.
        tag: the group that the operation is listed in.
        summary: a title of a few words.
        description: a description in CommonMark.
        parameters: names of parameters in `prompt_api.openapi.parameters`.
        body: the request body, or None.
        answers: the answers by status, without problem documents.
        errors: the errors that the route can raise. Those of the gate in front of all routes are added.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    description: str
    parameters: tuple[str, ...] = ()
    body: Fragment | None = None
    answers: Mapping[int, Fragment]
    errors: tuple[type[SamCacheError], ...] = field(default=())

    @property
    def scope(self) -> Scope | None:
        """The scope that a token needs, or None if the operation needs no token."""
        return needed_scope(self.method, self.path)

    def fragment(self, *, secured: bool) -> Fragment:
        """Return the OpenAPI operation object.

        Args:
            secured: whether the service has tokens.
        """
        responses = {str(status): answer for status, answer in self.answers.items()} | refusals(self._all_errors())
        return {
            "operationId": self.name,
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.description,
            **({"parameters": [parameters.reference(name) for name in self.parameters]} if self.parameters else {}),
            **({"requestBody": self.body} if self.body else {}),
            "responses": dict(sorted(responses.items())),
            **({"security": [{SECURITY_SCHEME: [str(self.scope)]}]} if secured and self.scope else {}),
        }

    def _all_errors(self) -> tuple[type[SamCacheError], ...]:
        gate = (Unauthorized, Forbidden) if self.scope else ()
        limited = (RateLimited,) if spent_quota(self.method, self.path) else ()
        hosts = () if self.path in OPEN_TO_ANY_HOST else (UnknownHost,)
        pages = () if self.method in READING else (ForeignOrigin,)
        return (*hosts, *pages, *gate, *limited, *self.errors)


def event_stream(status: str, data: str, schema: str, examples: Mapping[str, tuple[str, Any]]) -> Fragment:
    """Return the content of an answer that is a stream of Server-Sent Events.

    Args:
        status: name of the type of the events' names.
        data: a description of the events' data.
        schema: name of the type of that data, which is JSON.
        examples: for the name of an event, a title and its data.
    """
    return {
        "text/event-stream": {
            "schema": {
                "description": "One event of the stream.",
                "type": "object",
                "properties": {
                    "event": {"$ref": f"#/components/schemas/{status}"},
                    "data": {
                        "description": data,
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {"$ref": f"#/components/schemas/{schema}"},
                    },
                    "retry": {"description": "Milliseconds to wait before you reconnect.", "type": "integer"},
                },
                "required": ["event", "data"],
            },
            "examples": {
                name: {"summary": title, "value": {"event": name, "data": json.dumps(value)}}
                for name, (title, value) in examples.items()
            },
        }
    }


def json_answer(
    description: str, schema: str, examples: Mapping[str, Any], *, headers: tuple[str, ...] = ()
) -> Fragment:
    """Return the description of an answer in JSON.

    Args:
        schema: name of the answer's type.
        examples: the examples by title.
        headers: keys of `parameters.HEADERS`.
    """
    content = {
        "schema": {"$ref": f"#/components/schemas/{schema}"},
        "examples": {_key(words): {"summary": words, "value": value} for words, value in examples.items()},
    }
    return answer(description, {"application/json": content}, headers=headers)


def answer(description: str, content: Fragment | None = None, *, headers: tuple[str, ...] = ()) -> Fragment:
    """Return the description of any answer. Without `content` it has no body."""
    return {
        "description": description,
        **({"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers}} if headers else {}),
        **({"content": content} if content else {}),
    }


def _key(words: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in words.lower()).strip("-")
