"""How long one request may wait for Redis."""

from __future__ import annotations

from prompt_api.http.layer import Layer
from shared.redis import allowance

ALL_OPERATIONS = 2.0
"""Longest time of all Redis operations of one request together, as a multiple of the time-out of one operation."""


def layer(timeout: float) -> Layer:
    """Return the layer that limits how long each request waits for Redis.

    Args:
        timeout: the longest time of a single operation, in seconds.
    """

    def enter() -> None:
        allowance.grant(ALL_OPERATIONS * timeout)

    def end(_error: BaseException | None) -> None:
        allowance.revoke()

    return Layer(enter=enter, end=end)
