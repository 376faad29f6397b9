"""The event loop's server: it accepts connections within limits, and decides which thread answers a request."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from threading import BoundedSemaphore, get_ident
from typing import Any

from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from prompt_api.serving.alive import asks_if_alive, is_check
from prompt_api.serving.channel import PoliteChannel
from prompt_api.serving.descriptors import SHORT_OF

ACCEPTED_AT_ONCE = 32
"""Connections accepted in one round of the loop."""

PAUSE = 0.5
"""Seconds without accepting after the kernel had no descriptor for a connection."""

LOOK_SECONDS = 1.0
"""Seconds between two looks for clients that do not read."""

SHED_PAUSE = 0.25
"""Seconds between two rounds of closing unused connections."""

UNUSED_SECONDS = 1.0
"""A connection that was unused for this long may be closed if others need its place."""

SAID_EVERY = 60.0
"""Seconds between two log lines about one shortage."""

_log = logging.getLogger(__name__)


class Rarely:
    """Tells whether it is time to say something again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = float("-inf")

    def due(self, now: float) -> bool:
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class ApiServer(TcpWSGIServer):  # type: ignore[misc]  # waitress is untyped
    """waitress's server, with four things that it lacks.

    - It accepts no connection while there is no descriptor for one, and does not spin meanwhile.
    - If all places are taken, it closes the connections that nobody uses, the longest silent first.
    - It cuts connections whose clients do not read their answers.
    - It answers health checks though all request threads are busy.
    """

    channel_class: type[PoliteChannel]

    def __init__(self, *arguments: Any, connections: int, **more: Any) -> None:
        """Args:
        connections: most open connections.
        """
        self._most = connections
        self._loop_thread: int | None = None
        self._stopped = False
        self._short = False
        self._paused_until = 0.0
        self._looking = Rarely(LOOK_SECONDS)
        self._shedding = Rarely(SHED_PAUSE)
        self._saying = {"descriptors": Rarely(SAID_EVERY), "places": Rarely(SAID_EVERY)}
        self._checks = ThreadedTaskDispatcher()
        super().__init__(*arguments, **more)
        self.slow_readers = BoundedSemaphore(max(1, self.adj.threads // 2))  # the threads that may wait for readers
        self._checks.set_thread_count(1)

    def run(self) -> None:
        """Serve until `SystemExit` or `KeyboardInterrupt`. Then accept nothing more and let requests end."""
        self._loop_thread = get_ident()
        try:
            while not self._stopped:
                self._look_after_connections()
                self.asyncore.loop(
                    timeout=self.adj.asyncore_loop_timeout, map=self._map, use_poll=self.adj.asyncore_use_poll, count=1
                )
        except (SystemExit, KeyboardInterrupt):
            pass
        self._loop_thread = None
        self.socket.close()
        self.task_dispatcher.shutdown()
        self._checks.shutdown(timeout=1)

    def stop(self) -> None:
        """End `run` from another thread."""
        self._stopped = True
        self.pull_trigger()

    def add_task(self, task: PoliteChannel) -> None:
        """Have the first request of a connection answered. The caller holds the lock of the connection's requests.

        If the answer before it is not sent yet, the request waits in the loop, not in a thread.
        """
        if task.total_outbufs_len:
            task.held_back = True
            return
        request = task.requests[0]
        if get_ident() == self._loop_thread and asks_if_alive(request):
            task.answer_now = True
        elif is_check(request):
            self._checks.add_task(task)
        else:
            self.task_dispatcher.add_task(task)

    def readable(self) -> bool:
        return bool(super().readable()) and self._has_place() and time.monotonic() >= self._paused_until

    def handle_accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if not self._has_place() or not self._accept_one():
                return

    def pull_trigger(self) -> None:
        """Wake the loop. The loop does not wake itself: its pipe could be full, and only the loop empties it."""
        if get_ident() != self._loop_thread:
            super().pull_trigger()

    def _look_after_connections(self) -> None:
        """Close the connections that must go. This is done between two rounds of the loop.

        In a round, the descriptor of a closed connection could be given to a new one, which would then get the old
        one's event.
        """
        now = time.monotonic()
        if self._looking.due(now):
            self._cut_stuck(now)
        if self._short or not self._has_place():
            self._short = False
            self._shed(now)

    def _has_place(self) -> bool:
        return len(self.active_channels) < self._most

    def _cut_stuck(self, now: float) -> None:
        stuck = [channel for channel in self.active_channels.values() if channel.is_stuck(now)]
        if stuck:
            _log.info("cut %d connections whose clients do not read their answers", len(stuck))
        for channel in stuck:
            _quietly(channel.cut)

    def _accept_one(self) -> bool:
        try:
            accepted = self.accept()
        except OSError as error:
            if error.errno in SHORT_OF:
                self._pause(error)
            return False
        if accepted is None:
            return False
        conn, address = accepted
        try:
            self.set_socket_options(conn)
            self.channel_class(self, conn, self.fix_addr(address), self.adj, map=self._map)
        except OSError:  # the client has already left
            conn.close()
        return True

    def _pause(self, error: OSError) -> None:
        now = time.monotonic()
        self._paused_until = now + PAUSE
        self._short = True
        if self._saying["descriptors"].due(now):
            _log.warning("cannot accept connections for now: %s", error.strerror)

    def _shed(self, now: float) -> None:
        """Close up to a quarter of the connections, of those that nobody uses."""
        if not self._shedding.due(now):
            return
        if not self._has_place() and self._saying["places"].due(now):
            _log.warning("all %d connections are in use; closing those that have been silent for longest", self._most)
        unused = [(channel.unused_for(time.time()), channel) for channel in self.active_channels.values()]
        unused = [found for found in unused if found[0] >= UNUSED_SECONDS]
        unused.sort(key=lambda found: found[0], reverse=True)
        for _, channel in unused[: max(1, self._most // 4)]:
            _quietly(channel.handle_close)


def _quietly(close: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        close()
