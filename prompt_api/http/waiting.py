"""For requests about what takes a while: slots to wait in, and how an answer says that it is not done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response

from prompt_api.http.services import services

RETRY_AFTER = "1"
"""Seconds after which a client should ask again."""


@contextmanager
def thread_to_wait(*, needed: bool = True) -> Iterator[bool]:
    """Give the block True if it may keep its thread while it waits. At most half of the threads may.

    Args:
        needed: False if the block does not wait. Then it gets False.
    """
    slots = services().waiters
    granted = needed and slots.acquire(blocking=False)
    try:
        yield granted
    finally:
        if granted:
            slots.release()


def of_this_moment(answer: Response, *, settled: bool, pending_status: int, location: str) -> Response:
    """Return `answer`, whose body tells how far something is, with the status and the headers for that.

    Args:
        settled: whether it changes no more.
        pending_status: the status of the answer as long as it is not settled.
        location: where its state can be asked for, which a 202 tells.
    """
    answer.headers["Cache-Control"] = "no-store"
    if not settled:
        answer.status_code = pending_status
        answer.headers["Retry-After"] = RETRY_AFTER
        if pending_status == 202:
            answer.headers["Location"] = location
    return answer
