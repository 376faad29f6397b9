"""`python -m encoder_worker`: encode images of `SAM_MODEL` until told to stop.

Exit status: 0 stopped on request; 1 Redis stayed out of reach, or the encoder cannot run; 2 the settings or
the weights are wrong. A supervisor restarts on 1 and on death: a hung encoding ends the process on purpose.
"""

from __future__ import annotations

import logging
import sys
import time

from encoder_worker.metrics import WorkerMetrics
from encoder_worker.metrics_server import metrics_server
from encoder_worker.wiring import exit_on_signals, prepare_encoder, serve
from shared.errors import ModelNotFound, SamCacheError, StartupError
from shared.settings import Settings

_log = logging.getLogger("encoder_worker")


def main() -> int:
    exit_on_signals()
    try:
        settings = Settings.from_env()
        configure_logging(settings.log_level)
        metrics = WorkerMetrics(settings.model)
        with metrics_server(metrics, settings.worker_metrics_host, settings.worker_metrics_port) as port:
            if port is not None:
                _log.info("metrics on http://%s:%d/metrics", settings.worker_metrics_host, port)
            began = time.perf_counter()
            encoder = prepare_encoder(settings)
            metrics.loaded(time.perf_counter() - began)
            serve(settings, encoder, metrics)
    except SamCacheError as error:
        sys.stderr.write(f"encoder_worker: {error.detail}\n")
        return 2 if isinstance(error, StartupError | ModelNotFound) else 1
    return 0


def configure_logging(level: str) -> None:
    """One line per event on stderr. RQ is heard only when something is wrong: the worker logs its own jobs."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("rq").setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name in ("rq.worker", "rq.job", "rq.queue", "rq.registry"):
        logging.getLogger(name).setLevel(logging.NOTSET)


if __name__ == "__main__":
    sys.exit(main())
