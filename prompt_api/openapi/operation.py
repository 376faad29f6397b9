"""The vocabulary in which routes are described, and its translation to OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prompt_api.access.scopes import Scope, needed_scope, spent_quota
from prompt_api.openapi import parameters
from prompt_api.openapi.refusals import refusals
from shared.contract.errors import Forbidden, RateLimited, SamCacheError, Unauthorized

SECURITY_SCHEME = "token"

Fragment = dict[str, Any]
"""A piece of an OpenAPI document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one route.

    Attributes:
        method: upper case.
        path: with parameters in braces.
        name: its `operationId`.
        tag: the group it is listed under.
        summary: a few words.
        description: CommonMark.
        parameters: keys of `parameters.PARAMETERS`.
        body: its request body, or None.
        answers: by status, the answers that are no problem documents.
        errors: what it may refuse with, beside what the gate in front of all routes does.
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
        """What a token must be good for, where there are tokens; None if anybody may ask."""
        return needed_scope(self.method, self.path)

    def fragment(self, *, secured: bool) -> Fragment:
        """The OpenAPI operation object.

        Args:
            secured: the service has tokens.
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
        return (*gate, *limited, *self.errors)


def json_answer(
    description: str, schema: str, examples: Mapping[str, Any], *, headers: tuple[str, ...] = ()
) -> Fragment:
    """An answer in JSON.

    Args:
        schema: name of its type.
        examples: by a few words each.
        headers: keys of `parameters.HEADERS`.
    """
    content = {
        "schema": {"$ref": f"#/components/schemas/{schema}"},
        "examples": {_key(words): {"summary": words, "value": value} for words, value in examples.items()},
    }
    return answer(description, {"application/json": content}, headers=headers)


def answer(description: str, content: Fragment | None = None, *, headers: tuple[str, ...] = ()) -> Fragment:
    """Any answer; without `content` it has no body."""
    return {
        "description": description,
        **({"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers}} if headers else {}),
        **({"content": content} if content else {}),
    }


def _key(words: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in words.lower()).strip("-")
