"""Log handlers and tracers that keep what is logged and traced, so that tests can inspect it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Self

from shared.observe import log_context
from shared.observe.tracing import NO_SPAN, Attributes, Span, SpanKind


class Lines(logging.Handler):
    """Keeps log records together with the fields of their request."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append({**log_context.fields(), **vars(record), "text": record.getMessage()})

    def of(self, logger: str) -> list[dict[str, Any]]:
        return [line for line in self.seen if line["name"] == logger]


@dataclass
class KeptSpan:
    """A span that keeps everything it is told."""

    name: str
    kind: SpanKind
    parent: str
    attributes: dict[str, Any]
    parts: list[str] = field(default_factory=list)
    ended: int = 0
    failed: str | None = None
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    def child(self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> Span:
        self.parts.append(name)
        return NO_SPAN

    def record(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.parts.append(name)

    def describe(self, attributes: Attributes, *, name: str | None = None) -> None:
        self.attributes |= attributes
        self.name = name or self.name

    def link(self, traceparent: str) -> None: ...

    def fail(self, reason: str) -> None:
        self.failed = reason

    def end(self) -> None:
        self.ended += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self.fail(type(error).__name__)
        self.end()


class KeepingTracer:
    """A tracer that keeps its spans.

    Attributes:
        spans: all spans, in the order in which they began.
    """

    def __init__(self) -> None:
        self.spans: list[KeptSpan] = []

    def begin(self, name: str, kind: SpanKind, *, parent: str = "", attributes: Attributes | None = None) -> Span:
        self.spans.append(KeptSpan(name, kind, parent, dict(attributes or {})))
        return self.spans[-1]

    def close(self) -> None: ...
