"""Opens the tracer that the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings
from shared.observe.tracing import NO_TRACER, Tracer


@contextmanager
def opened_tracer(settings: Settings, service: str) -> Iterator[Tracer]:
    """Yield the tracer that the settings ask for. OpenTelemetry is imported only if tracing is switched on.

    Raises:
        ConfigurationError: the endpoint is not a URL, or the extra `tracing` is not installed.
    """
    if not settings.otlp_endpoint:
        yield NO_TRACER
        return
    try:
        from shared.observe.otel import OtelTracer  # noqa: PLC0415 - an optional extra, which costs time and memory
    except ImportError as error:
        raise ConfigurationError(
            f"SAM_OTLP_ENDPOINT is set, but {error.name} is not installed: "
            "pip install -c constraints.txt '.[tracing]' beside what the service has"
        ) from None
    tracer: Tracer = OtelTracer(settings, service)
    try:
        yield tracer
    finally:
        tracer.close()
