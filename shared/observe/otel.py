"""Traces with OpenTelemetry over OTLP/HTTP. This is the only module that imports OpenTelemetry.

Spans are sent in the background, in batches, from a bounded queue. If the collector is away or hangs, the spans that do
not fit into the queue are lost, and no request suffers. A tracer belongs to the process that created it.
"""

from __future__ import annotations

import threading
import time
from typing import Self
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings
from shared.observe.tracing import Attributes, SpanKind

NAMESPACE = "sam-embedding-cache"

CLOSE_SECONDS = 2.0
"""Seconds that sending the last spans may delay the end of a process."""

LONGEST_ATTRIBUTE = 256
"""Longest value of an attribute in characters. Clients may send paths of any length."""

_KINDS = {kind: trace.SpanKind[kind.name] for kind in SpanKind}

_PROPAGATOR = TraceContextTextMapPropagator()


class OtelTracer:
    """A `shared.observe.tracing.Tracer` that sends spans to an OpenTelemetry collector."""

    def __init__(self, settings: Settings, service: str) -> None:
        """
        Args:
            service: `api` or `worker`, sent as `service.name`.

        Raises:
            ConfigurationError: the endpoint is not a URL.
        """
        exporter = OTLPSpanExporter(endpoint=_traces_url(settings.otlp_endpoint))
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
            resource=Resource.create({"service.namespace": NAMESPACE, "service.name": service}),
            span_limits=SpanLimits(max_attribute_length=LONGEST_ATTRIBUTE),
            shutdown_on_exit=False,  # it would wait for as long as the collector hangs
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(NAMESPACE)

    def begin(self, name: str, kind: SpanKind, *, parent: str = "", attributes: Attributes | None = None) -> OtelSpan:
        context = _context_of(parent)
        return OtelSpan(self._tracer, self._tracer.start_span(name, context, kind=_KINDS[kind], attributes=attributes))

    def close(self) -> None:
        closing = threading.Thread(target=self._provider.shutdown, name="send the last spans", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


class OtelSpan:
    """A `shared.observe.tracing.Span` that OpenTelemetry records."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def traceparent(self) -> str:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, self._context)
        return carrier.get("traceparent", "")

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def _context(self) -> Context:
        return trace.set_span_in_context(self._span, Context())

    def child(self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> OtelSpan:
        span = self._tracer.start_span(name, self._context, kind=_KINDS[kind], attributes=attributes)
        return OtelSpan(self._tracer, span)

    def record(self, name: str, seconds: float) -> None:
        end = time.time_ns()
        self._tracer.start_span(name, self._context, start_time=end - int(seconds * 1e9)).end(end)

    def describe(self, attributes: Attributes, *, name: str | None = None) -> None:
        self._span.set_attributes(attributes)
        if name is not None:
            self._span.update_name(name)

    def link(self, traceparent: str) -> None:
        other = trace.get_current_span(_context_of(traceparent)).get_span_context()
        if other.is_valid:
            self._span.add_link(other)

    def fail(self, reason: str) -> None:
        self._span.set_status(trace.StatusCode.ERROR, reason)

    def end(self) -> None:
        if self._span.is_recording():
            self._span.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self.fail(type(error).__name__)
        self.end()


def _context_of(traceparent: str) -> Context:
    """Return the context that `traceparent` describes; an empty one if it is malformed."""
    return _PROPAGATOR.extract({"traceparent": traceparent}, Context())


def _traces_url(endpoint: str) -> str:
    """Return the URL where the collector at `endpoint` accepts traces."""
    try:
        parts = urlsplit(endpoint)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(
            "SAM_OTLP_ENDPOINT must be the URL of an OTLP/HTTP collector, for example http://collector:4318"
        )
    return endpoint.rstrip("/") + "/v1/traces"
