"""Answers that send states as Server-Sent Events while they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from flask import Response, request, stream_with_context

from prompt_api.http.waiting import thread_to_wait
from shared.contract.errors import SamCacheError

S = TypeVar("S")


def event_stream(states: Iterator[S | None], write: Callable[[S], str]) -> Response:
    """Return the stream of `states`. It ends when its client is gone.

    Args:
        states: the present state and every later one; None now and then while nothing changes. The first one raises
            before the stream starts, while a problem document can still be sent.
        write: makes an event of a state.
    """
    first = next(states)
    assert first is not None
    gone = request.environ.get("waitress.client_disconnected", lambda: False)
    first_event = write(first)

    def stream() -> Iterator[str]:
        with thread_to_wait() as granted:
            yield f"retry: {1000 if granted else 3000}\n\n{first_event}"
            try:
                for state in states if granted else ():
                    if gone():
                        return
                    yield ": still here\n\n" if state is None else write(state)
            except SamCacheError:
                # The image was deleted or expired, or Redis is away. The client reconnects and then gets the error.
                return

    answer = Response(stream_with_context(stream()), content_type="text/event-stream")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Accel-Buffering"] = "no"
    return answer
