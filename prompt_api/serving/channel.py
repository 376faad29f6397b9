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
from waitress.buffers import OverflowableBuffer
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error

from prompt_api.access import cors, headers
from prompt_api.http.measured import ARRIVAL, OTHER
from prompt_api.serving import alive, readers
from prompt_api.serving.request_parser import BoundedParser, Refusal
from prompt_api.wire import no_room, problems
from shared.contract.errors import ImageTooLarge
from shared.observe import log_context
from shared.observe.request_id import HEADER, request_id_of

LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024
"""After a refusal is answered, the rest of the upload is read and discarded up to these limits."""

PIECE = 128 * 1024
"""Most bytes that are copied out of an answer for one call of the kernel, which may take fewer of them."""

TURN = 512 * 1024
"""Most bytes that the loop sends to one client before the next client has its turn.

A new connection takes several megabytes at once into the kernel's buffers, whether or not its client reads them.
"""

LOCK_SECONDS = 0.1
"""Far longer than a thread normally holds the lock of a connection's list of requests."""

HEAD_SECONDS = 2.0
"""A connection counts as unused this long after the first byte of a request whose head is not complete."""

BODY_SECONDS = 9.0
"""A connection counts as unused this long after the last byte of a body that is not complete."""

_log = logging.getLogger(__name__)


class AnswerLost(Exception):
    """A piece of an answer could not be kept: it is too large for memory, and its file cannot be written.

    Attributes:
        alone: true if nothing that was written before the piece is lost.
    """

    def __init__(self, *, alone: bool) -> None:
        super().__init__("no room for an answer")
        self.alone = alone


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

    It answers `/healthz` itself, and it answers 503 if there is no room for the start of an answer.
    """

    _lost_its_head = False

    def service(self) -> None:
        try:
            super().service()
        except AnswerLost as lost:
            _log.warning("no room for an answer in the folder of temporary files")
            self.close_on_finish = True
            if self._lost_its_head and lost.alone:
                self.request.error = Refusal(no_room.overloaded("the answer"))
                ProblemTask(self.channel, self.request).service()

    def execute(self) -> None:
        if alive.asks_if_alive(self.request):
            self._say_alive()
        else:
            super().execute()

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[ARRIVAL] = (self.request.began, self.request.arrived)
        return environ

    def write(self, data: bytes) -> None:
        if self.wrote_header or not data:
            super().write(data)
            return
        try:
            with self.channel.in_one_piece():
                super().write(data)
        except AnswerLost:
            self._lost_its_head = True
            raise

    def _say_alive(self) -> None:
        self.complete, self.content_length = True, len(alive.BODY)
        self.response_headers += [
            ("Content-Type", alive.MEDIA_TYPE),
            (HEADER, request_id_of(self.request.headers.get("X_REQUEST_ID"))),
            *headers.EVERYWHERE.items(),
            *cors.allowed(self.request.headers.get("ORIGIN"), self.channel.origins).items(),
        ]
        self.channel.count_refusal(alive.PATH, self.request.command, 200, "")
        self.write(alive.BODY if self.request.command == "GET" else b"")


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
    held_back = False
    """The next request waits in the loop until the answer before it is sent. `ApiServer.add_task` sets this."""

    answer_now = False
    """The loop itself must answer the next request. `ApiServer.add_task` sets this."""

    # waitress sets these.
    total_outbufs_len: int
    current_outbuf_count: int
    outbufs: list[Any]
    sendbuf_len: int

    _sent = 0
    _left_of_turn: int | None = None
    _mark: readers.Mark | None = None
    _in_write = False
    _close_soon = False
    _linger_until: float | None = None
    _lingered = 0
    _held: list[bytes] | None = None

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sendbuf_len = min(self.sendbuf_len, PIECE)

    @contextlib.contextmanager
    def in_one_piece(self) -> Iterator[None]:
        """Send everything written inside the block at its end. Only the thread that answers may use this."""
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
        self.write_soon(b"".join(held))

    def write_soon(self, data: Any) -> int:
        """Keep `data` until the client has read it. This waits if too much is kept already.

        Raises:
            AnswerLost: there is no room to keep it.
        """
        if self._held is not None:
            self._held.append(data)
            return len(data)
        with self.outbuf_lock:
            self._in_write = True
            try:
                return int(super().write_soon(data))
            except OSError:
                raise AnswerLost(alone=self._drop_failed_write()) from None
            finally:
                self._in_write = False

    def _drop_failed_write(self) -> bool:
        """Remove the buffer that could not be written, because its content is undefined.

        Returns:
            Whether nothing that was written before is lost.
        """
        alone = not self.current_outbuf_count or not self.total_outbufs_len
        broken = self.outbufs[-1:] if alone else self.outbufs[:]
        del self.outbufs[-len(broken) :]
        self.outbufs.append(OverflowableBuffer(self.adj.outbuf_overflow))
        self.current_outbuf_count = 0
        if not alone:
            self.total_outbufs_len = 0
        for buffer in broken:
            with contextlib.suppress(OSError):  # closing a file writes what its buffer still holds
                buffer.close()
        return alone

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Wait until the client has read most of what is kept for it, but never between two requests.

        The loop ends this wait if the client does not read, see `is_stuck`. A request behind an unsent answer waits
        in the loop, see `held_back`.

        Raises:
            ClientDisconnected: half of the threads wait for clients already. The connection is closed.
        """
        if not self._in_write or self.total_outbufs_len <= self.adj.outbuf_high_watermark:
            return
        if not self.server.slow_readers.acquire(blocking=False):
            self._close_soon = True
            raise ClientDisconnected
        try:
            super()._flush_outbufs_below_high_watermark()
        finally:
            self.server.slow_readers.release()

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send some of `data`. Return how many bytes the kernel took: 0 if it takes none now, or the turn is over."""
        left = self._left_of_turn
        if left is not None and left <= 0:
            return 0
        sent = int(super().send(data, do_close))
        if left is not None:
            self._left_of_turn = left - sent
        self._sent += sent
        return sent

    def is_stuck(self, now: float) -> bool:
        """Return whether the client has read too little of its answer for too long. Only the loop calls this.

        Args:
            now: monotonic seconds.
        """
        if self._close_soon:
            return True
        if not self.total_outbufs_len:
            self._mark = None
            return False
        taken = self._sent - readers.on_the_way(self.socket)
        if self._mark is None or self._mark.passed(taken):
            self._mark = readers.Mark(now, taken, self.total_outbufs_len)
        return self._mark.overdue(now)

    def cut(self) -> None:
        """Close the connection at once and drop everything unsent. Only the loop calls this.

        `will_close` would not do: waitress acts on it only once the client has read something.
        """
        with contextlib.suppress(OSError):
            readers.drop_unsent(self.socket)
        self.handle_close()

    def unused_for(self, now: float) -> float:
        """Return for how many seconds nobody has used the connection: nothing is asked, and nothing is to be sent.

        Args:
            now: the time of day in seconds, as in `last_activity`.
        """
        if self.requests or self.total_outbufs_len:
            return 0.0
        request = self.request
        if request is None:
            return float(now - self.last_activity)
        if not request.headers_finished:  # however often the client sends a byte of them
            return float(time.perf_counter() - request.began - HEAD_SECONDS)
        return float(now - self.last_activity - BODY_SECONDS)

    def received(self, data: bytes) -> bool:
        taken = bool(super().received(data))
        self._answer_now()
        return taken

    def writable(self) -> bool:
        if self._linger_until is not None:
            return bool(self.will_close) or time.monotonic() > self._linger_until
        return self.held_back or bool(super().writable())

    def readable(self) -> bool:
        return (self._linger_until is not None and not self.will_close) or bool(super().readable())

    def handle_write(self) -> None:
        self._left_of_turn = TURN
        try:
            self._write_turn()
        finally:
            self._left_of_turn = None

    def _write_turn(self) -> None:
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
        if self.held_back and not self.total_outbufs_len:
            with self.requests_lock:
                self.held_back = False
                if self.connected and self.requests:
                    self.server.add_task(self)
            self._answer_now()

    def _answer_now(self) -> None:
        """Answer the requests that the loop itself must answer."""
        while self.answer_now:
            self.answer_now = False
            self.service()

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
                answering = 0 if self.held_back else 1  # the thread that answers the first one closes it
                for request in self.requests[answering:]:
                    request.close()
                del self.requests[answering:]
                self.held_back = False
            finally:
                self.requests_lock.release()
        super().handle_close()
