"""Functions that tell a worker in this process to stop, at chosen moments."""

from __future__ import annotations

import signal
import time

import redis


def stop_at_once() -> None:
    """Send two signals. RQ ignores a second signal that comes within a second, so wait a little longer."""
    signal.raise_signal(signal.SIGTERM)
    time.sleep(1.1)
    signal.raise_signal(signal.SIGTERM)


def stop_between_command_and_reply(client: redis.Redis) -> None:
    """Send the two signals between a command to Redis and its reply. The reply is read if the signals raise nothing."""
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command("BLPOP", "nothing", "1.5")
        stop_at_once()
        connection.read_response()
    finally:
        client.connection_pool.release(connection)
