"""How long one request may wait for Redis."""

from __future__ import annotations

from prompt_api.http.layer import Layer
from shared.redis import allowance

ALL_OPERATIONS = 2.0
"""What all operations of one request on Redis may take together, in time-outs of a single operation."""


def layer(timeout: float) -> Layer:
    """Bounds the waits for Redis of each request.

    Args:
        timeout: seconds that a single operation may take.
    """

    def enter() -> None:
        allowance.grant(ALL_OPERATIONS * timeout)

    def end(_error: BaseException | None) -> None:
        allowance.revoke()

    return Layer(enter=enter, end=end)
