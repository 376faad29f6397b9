"""A waitress connection that answers with the service's error format and lets the client read a refusal."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error

from prompt_api.access import cors, headers
from prompt_api.http.measured import ARRIVAL, OTHER
from prompt_api.serving.request_parser import BoundedParser, Refusal
from prompt_api.wire import problems
from shared.contract.errors import ImageTooLarge
from shared.observe import log_context
from shared.observe.request_id import HEADER, request_id_of

LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024
"""After a refusal is answered, the rest of the upload is read and discarded up to these limits."""

LOCK_SECONDS = 0.1
"""Far longer than a thread normally holds the lock of a connection's list of requests."""

_log = logging.getLogger(__name__)


class ProblemTask(ErrorTask):  # type: ignore[misc]  # waitress is untyped
    """Answers a request refused unread (malformed, too large, not admitted, no room) with a problem document."""

    def execute(self) -> None:
        error = self.request.error
        request_id = request_id_of(self.request.headers.get("X_REQUEST_ID"))
        code, retry_after = _code_and_pause(error)
        body = json.dumps(problems.document(error.code, code, str(error.body))).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [("Content-Type", problems.MEDIA_TYPE), ("Connection", "close"), (HEADER, request_id)]
        self.response_headers += problems.headers(code, retry_after).items()
        self.response_headers += headers.EVERYWHERE.items()
        self.response_headers += cors.allowed(self.request.headers.get("ORIGIN"), self.channel.origins).items()
        self.set_close_on_finish()
        self.content_length = len(body)
        # Count before writing, because the client may disconnect while the answer is written.
        self.channel.count_refusal(OTHER, OTHER, error.code, code)
        with log_context.scope(request_id=request_id):
            _log.info("refused unread: %d %s", error.code, code, extra={"status": error.code, "code": code})
        with self.channel.in_one_piece():
            self.write(body)
        self.channel.refused = True


def _code_and_pause(error: Error) -> tuple[str, float | None]:
    """Return the error code of the answer, and the seconds after which a retry makes sense."""
    if isinstance(error, Refusal):
        return error.problem.code, error.problem.retry_after
    return ImageTooLarge.code if error.code == 413 else error.reason.lower().replace(" ", "-"), None


class TimedTask(WSGITask):  # type: ignore[misc]  # waitress is untyped
    """Tells the application when the request arrived, and sends the head of an answer together with the first data.

    waitress sends the head separately. Under load, its thread may then wait for other threads before it sends the
    rest. If the process dies in between, a gateway cannot retry on another replica, because the answer has begun.
    """

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[ARRIVAL] = (self.request.began, self.request.arrived)
        return environ

    def write(self, data: bytes) -> None:
        if self.wrote_header or not data:
            super().write(data)
            return
        with self.channel.in_one_piece():
            super().write(data)


class PoliteChannel(HTTPChannel):  # type: ignore[misc]  # waitress is untyped
    """Closes a connection after a refusal in a way that lets the client read the answer.

    If a socket with unread data is closed, the kernel sends a reset, which can destroy the answer on its way.
    So after a refusal only the sending side is closed, and further data from the client is read and discarded
    within limits (nginx calls this a lingering close).
    """

    task_class = TimedTask
    error_task_class = ProblemTask

    # `door.channel_class` sets these.
    parser_class: Callable[[Adjustments], BoundedParser]
    origins: frozenset[str]
    """The origins whose pages may read a refusal."""

    count_refusal: Callable[[str, str, int, str], None]
    """Called with route, method, status and code of each request that never reaches the application."""

    refused = False
    _linger_until: float | None = None
    _lingered = 0
    _held: list[bytes] | None = None

    @contextlib.contextmanager
    def in_one_piece(self) -> Iterator[None]:
        """Send everything written inside the block at its end. Only the thread that answers may use this."""
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
        super().write_soon(b"".join(held))

    def write_soon(self, data: Any) -> int:
        if self._held is not None:
            self._held.append(data)
            return len(data)
        return int(super().write_soon(data))

    def writable(self) -> bool:
        if self._linger_until is not None:
            return bool(self.will_close) or time.monotonic() > self._linger_until
        return bool(super().writable())

    def readable(self) -> bool:
        return (self._linger_until is not None and not self.will_close) or bool(super().readable())

    def handle_write(self) -> None:
        if self._linger_until is not None:
            self.will_close = True
        elif self.refused and self.close_when_flushed and not self.will_close:
            self._flush_exception(self._flush_some)
            if not self.total_outbufs_len and not self.will_close:
                self._linger_until = time.monotonic() + LINGER_SECONDS
                with contextlib.suppress(OSError):
                    self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_write()

    def handle_read(self) -> None:
        if self._linger_until is None:
            super().handle_read()
            return
        try:
            data = self.recv(self.adj.recv_bytes)  # empty if the client has closed its side
        except OSError:
            data = b""
        self._lingered += len(data)
        if not data or self._lingered > LINGER_BYTES:
            self.will_close = True

    def handle_close(self) -> None:
        """Close the unanswered requests, which waitress leaves to the garbage collector. It may run much later."""
        if self.request is not None:
            self.request.close()
        # Two cases must not end in a deadlock. If `requests` is empty, this thread may hold the lock already, so it is
        # not taken. A thread that holds the lock for long has no requests left and waits for this thread, so the wait
        # for the lock is limited.
        if self.requests and self.requests_lock.acquire(timeout=LOCK_SECONDS):
            try:
                for request in self.requests[1:]:  # the thread that answers the first one closes it
                    request.close()
                del self.requests[1:]
            finally:
                self.requests_lock.release()
        super().handle_close()
