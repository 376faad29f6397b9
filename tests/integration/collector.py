"""A stand-in for an OpenTelemetry collector: it receives OTLP/HTTP, decodes it, and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE = 60.0


@dataclass(frozen=True)
class Received:
    """A span as it arrived."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    seconds: float
    attributes: dict[str, Any]
    links: tuple[str, ...]
    failed: bool


class Collector:
    """Listens on a free port; a context manager."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self._news = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                collector.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: bytes) -> None:
        message = ExportTraceServiceRequest.FromString(body)
        found = [
            Received(
                name=span.name,
                service=_values(batch.resource.attributes)["service.name"],
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                kind=span.kind,
                seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                attributes=_values(span.attributes),
                links=tuple(link.span_id.hex() for link in span.links),
                failed=span.status.code == 2,
            )
            for batch in message.resource_spans
            for scope in batch.scope_spans
            for span in scope.spans
        ]
        with self._news:
            self.spans += found
            self._news.notify_all()

    def wait_for(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """Return all spans once there are `enough` of them. Waits up to 30 s."""
        with self._news:
            assert self._news.wait_for(lambda: enough(self.spans), PATIENCE), self.spans
            return list(self.spans)


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
