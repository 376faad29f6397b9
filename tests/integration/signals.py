"""Telling a worker in this process to stop, at chosen moments."""

from __future__ import annotations

import signal
import time

import redis


def stop_at_once() -> None:
    """Two signals, as far apart as RQ wants them to be two."""
    signal.raise_signal(signal.SIGTERM)
    time.sleep(1.1)
    signal.raise_signal(signal.SIGTERM)


def stop_between_command_and_reply(client: redis.Redis) -> None:
    """The same in the middle of a conversation with Redis, which goes on if nothing is raised."""
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command("BLPOP", "nothing", "1.5")
        stop_at_once()
        connection.read_response()
    finally:
        client.connection_pool.release(connection)
