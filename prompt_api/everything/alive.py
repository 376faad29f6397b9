"""`python -m prompt_api.everything.alive`: whether a mask worker on this host still works, for probes.

Exit status 0: a mask worker of `SAM_MODEL` renewed its registration in the queue within the last minute, or the queue
is out of reach, which a worker deals with itself. Exit status 1: none did.
"""

from __future__ import annotations

import socket
import sys
from functools import partial

from prompt_api.everything.job.key import is_everything_queue_of
from shared.contract.errors import StartupError
from shared.contract.settings import Settings
from shared.redis.connections import request_client
from shared.rq_worker.registration import is_alive

_TIMEOUT = 2.0


def main() -> int:
    try:
        settings = Settings.from_env()
        client = request_client(settings.effective_queue_url, _TIMEOUT)
    except StartupError as error:
        sys.stderr.write(f"prompt_api.everything.alive: {error.detail}\n")
        return 1
    return 0 if is_alive(client, socket.gethostname(), partial(is_everything_queue_of, settings.model)) else 1


if __name__ == "__main__":
    sys.exit(main())
