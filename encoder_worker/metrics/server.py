"""Serves the worker's `/metrics`."""

from __future__ import annotations

from contextlib import AbstractContextManager

from prometheus_client import make_wsgi_app

from encoder_worker.metrics.counting import WorkerMetrics
from shared.observe import metrics_server as shared_server


def metrics_server(metrics: WorkerMetrics, host: str, port: int) -> AbstractContextManager[int | None]:
    """See `shared.observe.metrics_server.metrics_server`."""
    return shared_server.metrics_server(make_wsgi_app(metrics.registry), host, port)
