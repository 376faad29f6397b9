"""How the program of a worker starts and ends: its settings, its log, its traces, its metrics and its exit status."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from shared.contract.errors import ModelNotFound, SamCacheError, StartupError
from shared.contract.settings import Settings
from shared.observe import logs
from shared.observe.metrics_server import Application, metrics_server
from shared.observe.open_tracer import opened_tracer
from shared.observe.tracing import Tracer
from shared.rq_worker.lifetime import exit_on_signals


class Scraped(Protocol):
    """The metrics of a worker."""

    @property
    def application(self) -> Application:
        """Answers a scrape."""
        ...


M = TypeVar("M", bound=Scraped)


def run_program(
    program: str, service: str, make_metrics: Callable[[str], M], work: Callable[[Settings, Tracer, M], None]
) -> int:
    """Run the program until it is told to stop, and return its exit status.

    The status is 0 if it was told to stop, 2 if the settings or the weights are wrong, and 1 after any other error of
    this service.

    Args:
        program: its module's name, which its last words begin with.
        service: what logs and traces call the process.
        make_metrics: makes the metrics of a worker of the model with this name.
        work: does the work. It returns, or the process exits, when it is told to stop.
    """
    exit_on_signals()
    settings = None
    try:
        settings = Settings.from_env()
        logs.configure(settings, service)
        metrics = make_metrics(settings.model)
        with (
            opened_tracer(settings, service) as tracer,
            metrics_server(metrics.application, settings.worker_metrics_host, settings.worker_metrics_port) as port,
        ):
            if port is not None:
                log = logging.getLogger(program)
                log.info("metrics on http://%s:%d/metrics", settings.worker_metrics_host, port)
            work(settings, tracer, metrics)
    except SamCacheError as error:
        logs.last_words(settings, program, error.detail)
        return 2 if isinstance(error, StartupError | ModelNotFound) else 1
    return 0
