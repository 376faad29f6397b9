"""`python -m prompt_api`: serve the API."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from dataclasses import replace

# Before numpy is loaded: a request uses the cores of its turn, and clicks beside a search need the others.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from prompt_api.access.policy import require_safe
from prompt_api.http.app import create_app
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.processes import Place
from prompt_api.serving.address_lock import address_lock
from prompt_api.serving.orphans import end_with_parent
from prompt_api.serving.server import REFUSED, reserve, serve, share, supervise
from prompt_api.wiring import wired_services
from shared.contract.errors import StartupError
from shared.contract.settings import Settings
from shared.observe import logs
from shared.observe.open_tracer import opened_tracer

SERVICE = "api"
"""The name of this service in logs and traces."""


def main() -> int:
    """Serve until a signal stops the process.

    Returns:
        The exit status: 0 after a stop, 2 if the process must not start.
    """
    parser = argparse.ArgumentParser(prog="python -m prompt_api", description="Serve the prompt API.")
    parser.add_argument("--share-port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--slot", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    settings = None
    try:
        settings = Settings.from_env()
        logs.configure(settings, SERVICE)
        require_safe(settings)
        if arguments.share_port is not None:
            end_with_parent(arguments.parent)
            settings = replace(settings, port=arguments.share_port)
            _serve(share(settings), settings, Place.in_environment(arguments.slot))
            return 0
        with address_lock(settings.host, settings.port):
            _start(settings)
    except StartupError as error:
        logs.last_words(settings, "prompt_api", error.detail)
        return REFUSED
    return 0


def _start(settings: Settings) -> None:
    listener = reserve(settings)
    host, port = listener.getsockname()[:2]
    logging.getLogger("prompt_api").info("starting on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    if settings.api_processes == 1:
        _serve(listener, settings, None)
    else:
        supervise(port, settings.api_processes)


def _serve(listener: socket.socket, settings: Settings, place: Place | None) -> None:
    metrics = ApiMetrics(place)
    with opened_tracer(settings, SERVICE) as tracer, wired_services(settings, metrics) as services:
        serve(create_app(services, tracer), listener, settings, policy=services.access, metrics=metrics)


if __name__ == "__main__":
    sys.exit(main())
