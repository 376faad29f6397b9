"""`python -m encoder_worker.alive`: whether a worker on this host still works, for the probes of a container platform.

Exit status 0: a worker of `SAM_MODEL` renewed its registration in the queue within the last minute, or the queue is out
of reach, which a worker deals with itself. Exit status 1: none did. Then it has not started yet, or it hangs somewhere
outside an encoding. (A worker whose encoding hangs ends itself.)
"""

from __future__ import annotations

import socket
import sys
from functools import partial

import redis

from shared.contract.errors import StartupError
from shared.contract.keys import is_queue_of
from shared.contract.settings import Settings
from shared.redis.connections import request_client
from shared.rq_worker import registration

_TIMEOUT = 2.0


def is_alive(client: redis.Redis, model: str, host: str) -> bool:
    """Whether a worker of `model` on `host` gave a sign within a minute. True if nobody can tell."""
    return registration.is_alive(client, host, partial(is_queue_of, model))


def main() -> int:
    try:
        settings = Settings.from_env()
        client = request_client(settings.effective_queue_url, _TIMEOUT)
    except StartupError as error:
        sys.stderr.write(f"encoder_worker.alive: {error.detail}\n")
        return 1
    return 0 if is_alive(client, settings.model, socket.gethostname()) else 1


if __name__ == "__main__":
    sys.exit(main())
