"""Requests and answers as values, so that the logic of the client does no I/O itself.

An operation is a `Flow`: a generator. It yields a `Call` for each request that it wants made, and is sent the `Reply`;
if nothing answers, `ServiceUnreachable` is thrown into it. It returns its result. `samcache.http.transport` runs flows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from samcache.errors import SERVICE_ERRORS, SamCacheError, UnexpectedAnswer

T = TypeVar("T")

DEFAULT_RETRY = 1.0
"""Seconds to wait before asking again, if the service names none."""

_PROBLEM_MEMBERS = frozenset({"type", "title", "status", "code", "detail", "retry_after"})


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request.

    Attributes:
        path: starts with a slash; the service's URL stands before it.
        seconds: how long it may take, from sending to the last byte of the answer.
        after: seconds to wait before it is sent.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str | None = None
    seconds: float = 30.0
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response, read to its end. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Flow = Generator[Call, Reply, T]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which an operation must be over."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """`seconds` from now."""
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self.at - self.clock())


def retry_after(reply: Reply) -> float:
    """Seconds that the service asks to wait; `DEFAULT_RETRY` if it asks nothing, or names a date."""
    text = reply.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() else DEFAULT_RETRY


def error_of(reply: Reply) -> SamCacheError:
    """The exception for a reply of status 400 or above."""
    try:
        problem = json.loads(reply.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return UnexpectedAnswer(f"the service answered {reply.status} without saying why", status=reply.status)
    code, detail = str(problem.get("code")), str(problem.get("detail"))
    kind = SERVICE_ERRORS.get(code)
    if kind is None:
        return UnexpectedAnswer(f"{detail} ({code}, status {reply.status})", status=reply.status, code=code)
    extra = {str(name): value for name, value in problem.items() if name not in _PROBLEM_MEMBERS}
    return kind(detail, retry_after=retry_after(reply) if "retry-after" in reply.headers else None, **extra)


def parsed(reply: Reply, build: Callable[[Any], T]) -> T:
    """The result of `build` for the reply's JSON.

    Raises:
        UnexpectedAnswer: the body is not JSON, or not what `build` expects.
    """
    try:
        return build(json.loads(reply.body))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnexpectedAnswer(
            f"the answer is not one of this service's contract ({type(error).__name__}: {error})", status=reply.status
        ) from error
