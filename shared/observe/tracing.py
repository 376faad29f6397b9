"""The seam for traces: what is traced says so here, and nothing happens unless `SAM_OTLP_ENDPOINT` is set.

The current span belongs to the context, as an allowance does (`shared.redis.allowance`): code that takes time calls
`current().record(…)` and needs no span passed to it. The spans of a process begin at a `Tracer`, which is wired where
the process starts.
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
"""Named as OpenTelemetry's semantic conventions say, where they say something."""

P = ParamSpec("P")
T = TypeVar("T")


class SpanKind(StrEnum):
    """On which side of which boundary a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """Something that takes time. As a context manager it ends with the block, failed if that raises. Never raises."""

    @property
    def traceparent(self) -> str:
        """W3C Trace Context for whoever goes on with this; empty where nothing is traced."""
        ...

    @property
    def trace_id(self) -> str:
        """32 hex digits; empty where nothing is traced."""
        ...

    def child(self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> Span:
        """Begin a part of this."""
        ...

    def record(self, name: str, seconds: float) -> None:
        """A part of this has ended now, and took that long."""
        ...

    def describe(self, attributes: Attributes, *, name: str | None = None) -> None: ...

    def link(self, traceparent: str) -> None:
        """This has to do with another span, too."""
        ...

    def fail(self, reason: str) -> None: ...

    def end(self) -> None:
        """Nothing is told of a span that does not end; again is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None: ...


class Tracer(Protocol):
    """Where the spans of a process begin, and from which they are sent."""

    def begin(self, name: str, kind: SpanKind, *, parent: str = "", attributes: Attributes | None = None) -> Span:
        """Begin what another process or nobody asked for.

        Args:
            parent: the `traceparent` that came with it; anything else is ignored.
        """
        ...

    def close(self) -> None:
        """Send what is left, in a bounded time."""
        ...


class NoSpan:
    """A `Span` of which nothing is kept."""

    traceparent = ""
    trace_id = ""

    def child(self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> NoSpan:  # noqa: ARG002 - the seam's
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

    def begin(self, name: str, kind: SpanKind, *, parent: str = "", attributes: Attributes | None = None) -> Span:  # noqa: ARG002 - the seam's
        return NO_SPAN

    def close(self) -> None:
        pass


NO_SPAN = NoSpan()
NO_TRACER = NoTracer()

_current: ContextVar[Span] = ContextVar("span", default=NO_SPAN)


def current() -> Span:
    """The span at hand."""
    return _current.get()


def entered(span: Span) -> AbstractContextManager[None]:
    """Within the block `span` is the one at hand; it does not end with it."""
    return Held(_current, span, after=_current.get())


def log_fields(span: Span) -> dict[str, str]:
    """What lines of log say of `span`, see `shared.observe.log_context`; nothing where nothing is traced."""
    return {"trace_id": span.trace_id} if span.trace_id else {}


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """`function` with the log fields and the span of the caller, for another thread. An allowance stays behind."""
    fields, span = log_context.fields(), current()

    @wraps(function)
    def with_them(*args: P.args, **kwargs: P.kwargs) -> T:
        with log_context.scope(**fields), entered(span):
            return function(*args, **kwargs)

    return with_them
