"""The interface for traces. Code reports its spans here, and nothing happens unless `SAM_OTLP_ENDPOINT` is set.

The current span belongs to the context, like an allowance (`shared.redis.allowance`). So code that takes time calls
`current().record(…)` and needs no span as an argument. A `Tracer` begins the first spans of a process. It is created
where the process starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from enum import StrEnum
from functools import wraps
from typing import ParamSpec, Protocol, Self, TypeVar

from shared.observe import log_context
from shared.observe.held import Held

Attributes = Mapping[str, str | int | float | bool]
"""Attributes of a span. The names follow OpenTelemetry's semantic conventions where those define one."""

P = ParamSpec("P")
T = TypeVar("T")


class SpanKind(StrEnum):
    """The role of a span: work inside the process, a request served, or a job sent or received."""

    INTERNAL = "internal"
    SERVER = "server"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """An operation that takes time. Its methods never raise.

    As a context manager it ends with the block, and counts as failed if the block raises.
    """

    @property
    def traceparent(self) -> str:
        """W3C Trace Context to send to the process that continues the operation; empty if nothing is traced."""
        ...

    @property
    def trace_id(self) -> str:
        """32 hex digits; empty if nothing is traced."""
        ...

    def child(self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> Span:
        """Begin a span for a part of this operation."""
        ...

    def record(self, name: str, seconds: float) -> None:
        """Record a part of this operation that has just ended and took `seconds`."""
        ...

    def describe(self, attributes: Attributes, *, name: str | None = None) -> None: ...

    def link(self, traceparent: str) -> None:
        """Link this span to another span that it is related to."""
        ...

    def fail(self, reason: str) -> None: ...

    def end(self) -> None:
        """End the span. A span that is never ended is not sent. A second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None: ...


class Tracer(Protocol):
    """Begins the spans of a process and sends them."""

    def begin(self, name: str, kind: SpanKind, *, parent: str = "", attributes: Attributes | None = None) -> Span:
        """Begin a span that has no parent in this process.

        Args:
            parent: the `traceparent` that another process sent. A malformed value is ignored.
        """
        ...

    def close(self) -> None:
        """Send the remaining spans, in a bounded time."""
        ...


class NoSpan:
    """A `Span` that records nothing."""

    traceparent = ""
    trace_id = ""

    def child(self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> NoSpan:  # noqa: ARG002 - the protocol's
        return self

    def record(self, name: str, seconds: float) -> None:
        pass

    def describe(self, attributes: Attributes, *, name: str | None = None) -> None:
        pass

    def link(self, traceparent: str) -> None:
        pass

    def fail(self, reason: str) -> None:
        pass

    def end(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pass


class NoTracer:
    """A `Tracer` that traces nothing."""

    def begin(self, name: str, kind: SpanKind, *, parent: str = "", attributes: Attributes | None = None) -> Span:  # noqa: ARG002 - the protocol's
        return NO_SPAN

    def close(self) -> None:
        pass


NO_SPAN = NoSpan()
NO_TRACER = NoTracer()

_current: ContextVar[Span] = ContextVar("span", default=NO_SPAN)


def current() -> Span:
    """Return the current span."""
    return _current.get()


def entered(span: Span) -> AbstractContextManager[None]:
    """Make `span` the current span inside the block. The end of the block does not end the span."""
    return Held(_current, span, after=_current.get())


def log_fields(span: Span) -> dict[str, str]:
    """Return the log fields of `span`, see `shared.observe.log_context`; empty if nothing is traced."""
    return {"trace_id": span.trace_id} if span.trace_id else {}


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap `function` for another thread: it runs with the caller's log fields and span, without its allowance."""
    fields, span = log_context.fields(), current()

    @wraps(function)
    def with_them(*args: P.args, **kwargs: P.kwargs) -> T:
        with log_context.scope(**fields), entered(span):
            return function(*args, **kwargs)

    return with_them
