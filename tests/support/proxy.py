"""A TCP proxy with faults on command: delay, trickle, blackhole, reset, truncation. Traps can hold a reply."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

T = TypeVar("T")

_CHUNK = 64 * 1024
_HEAD = 4096
"""Bytes at the start of a command that traps and watchers search. A Redis client waits for each reply before it sends
more, so the first bytes after a reply are the start of a command."""

_CALL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Weather:
    """How a link treats the traffic that passes.

    Attributes:
        delay: seconds that each chunk of at most 64 KiB is held back, in both directions.
        bytes_per_second: speed of replies; None means no limit.
        blackhole: nothing passes and nothing is closed, as if every packet were lost. The data passes later.
        refuse: each new connection is reset at once.
        cut: a command or reply is cut after this many bytes, and its connection is closed.
    """

    delay: float = 0.0
    bytes_per_second: float | None = None
    blackhole: bool = False
    refuse: bool = False
    cut: int | None = None


FAIR = Weather()


class Trap:
    """Catches the reply to a command that matches, while it is armed.

    Attributes:
        sprung: set once a reply was caught. With `hold`, the reply never reaches the client.
        victim: the text of the first group of `request` or `reply` that matched.
    """

    def __init__(
        self,
        request: re.Pattern[bytes],
        reply: re.Pattern[bytes] | None = None,
        *,
        hold: bool,
        once: bool = True,
        instead: bytes | None = None,
        wants: Callable[[str], bool] = lambda _victim: True,
        on_spring: Callable[[Link], None] = lambda _link: None,
    ) -> None:
        """
        Args:
            request: pattern to search for in the start of each command.
            reply: pattern to search for in the start of the reply; None accepts any reply.
            hold: keep the reply and everything after it.
            once: only the first time.
            instead: what the client gets in place of the reply's first chunk.
            wants: whether to catch the reply about this victim; any by default. It must be quick, as `on_spring`.
            on_spring: called in the proxy's thread with the link: it must be quick.
        """
        self.sprung = threading.Event()
        self.victim = ""
        self.request = request
        self.reply = reply
        self.hold = hold
        self.instead = instead
        self._once = once
        self._wants = wants
        self._on_spring = on_spring

    def spring(self, link: Link, asked: re.Match[bytes], answered: re.Match[bytes] | None) -> bool:
        """Catch the reply. Return False if the trap was used up before, or waits for another victim."""
        if self._once and self.sprung.is_set():
            return False
        groups = [group for match in (asked, answered) if match is not None for group in match.groups()]
        victim = next((group.decode() for group in groups if group), "")
        if not self._wants(victim):
            return False
        self.victim = victim
        self._on_spring(link)
        self.sprung.set()
        return True


class Link:
    """One port of the proxy and the server behind it. Its methods may be called from any thread."""

    def __init__(self, name: str, target: int, loop: asyncio.AbstractEventLoop) -> None:
        """Internal: call `Proxy.link` instead."""
        self.name = name
        self.port = 0
        self._target = target
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._weather = FAIR
        self._passable = asyncio.Event()
        self._passable.set()
        self._traps: list[Trap] = []
        self._watchers: list[Callable[[bytes], None]] = []

    @property
    def url(self) -> str:
        """The Redis URL of the link's port."""
        return f"redis://127.0.0.1:{self.port}/0"

    def set_weather(self, weather: Weather) -> None:
        """Change the weather of new and existing connections."""

        async def change() -> None:
            self._weather = weather
            if weather.blackhole:
                self._passable.clear()
            else:
                self._passable.set()

        self._call(change())

    def reset(self) -> None:
        """Reset every open connection, in both directions."""

        async def cut() -> None:
            for connection in list(self._connections):
                connection.reset()

        self._call(cut())

    def forget(self) -> None:
        """Silence every open connection for good without closing it, like a router that lost its state."""

        async def mute() -> None:
            for connection in self._connections:
                connection.forgotten = True

        self._call(mute())

    def send_surplus(self, reply: bytes) -> None:
        """Send `reply` to the client of each connection on which nothing was asked, as if the server had."""

        async def send() -> None:
            for connection in self._connections:
                if connection.idle:
                    connection.client.write(reply)

        self._call(send())

    def add(self, reply: bytes) -> None:
        """Send clients a reply that nobody asked for, on every connection there is."""

        async def write() -> None:
            for connection in self._connections:
                connection.client.write(reply)

        self._call(write())

    def arm(self, trap: Trap) -> None:
        """Add a trap to those already set."""

        async def add() -> None:
            self._traps.append(trap)

        self._call(add())

    def disarm(self, trap: Trap) -> None:
        """Remove the trap. A reply that it holds stays held."""

        async def remove() -> None:
            self._traps.remove(trap)

        self._call(remove())

    def watch(self, watcher: Callable[[bytes], None]) -> None:
        """Call `watcher` in the proxy's thread with the start of each command that clients send."""

        async def add() -> None:
            self._watchers.append(watcher)

        self._call(add())

    @contextlib.contextmanager
    def watched(self, watcher: Callable[[bytes], None]) -> Iterator[None]:
        """`watch` within the block."""

        async def remove() -> None:
            self._watchers.remove(watcher)

        self.watch(watcher)
        try:
            yield
        finally:
            self._call(remove())

    def _call(self, change: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(change, self._loop).result(_CALL_SECONDS)

    async def open(self) -> None:
        """Listen; called by `Proxy` in its own thread."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2 * _CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end every connection; called by `Proxy` in its own thread."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The task is cancelled when the proxy closes. Python 3.11 would log a cancelled connection as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await self._carry(reader, writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather.refuse:
            _reset(writer)
            return
        await self._passable.wait()
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target, limit=2 * _CHUNK)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(writer, there[1])
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(connection, reader, there[1], to_server=True))
                pumps.create_task(self._pump(connection, there[0], writer, to_server=False))
        except* (OSError, _Over):
            connection.reset()
        finally:
            self._connections.discard(connection)
            for side in (writer, there[1]):
                side.close()

    async def _pump(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            passed = connection.count(to_server=to_server, more=len(chunk))
            if not to_server:
                chunk = self._spring(connection, chunk)
            elif passed == len(chunk):
                self._note(connection, chunk[:_HEAD])
            await connection.unless_forgotten()
            await self._passable.wait()
            weather = self._weather
            if weather.delay:
                await asyncio.sleep(weather.delay)
            if weather.bytes_per_second and not to_server:
                await asyncio.sleep(len(chunk) / weather.bytes_per_second)
            if weather.cut is not None and passed > weather.cut:
                writer.write(chunk[: max(0, weather.cut - (passed - len(chunk)))])
                await writer.drain()
                connection.end()
                raise _Over
            writer.write(chunk)
            await writer.drain()
        # When one side hangs up, close both directions: neither side of this protocol half-closes.
        connection.end()
        raise _Over

    def _note(self, connection: _Connection, head: bytes) -> None:
        for watcher in self._watchers:
            watcher(head)
        found = ((trap, trap.request.search(head)) for trap in self._traps)
        connection.trapped = next(((trap, asked) for trap, asked in found if asked is not None), None)

    def _spring(self, connection: _Connection, chunk: bytes) -> bytes:
        """What the client gets of this chunk."""
        if connection.trapped is None:
            return chunk
        trap, asked = connection.trapped
        answered = trap.reply.search(chunk[:_HEAD]) if trap.reply is not None else None
        if trap.reply is not None and answered is None:
            return chunk
        connection.trapped = None
        if not trap.spring(self, asked, answered):
            return chunk
        if trap.hold:
            connection.forgotten = True
        return chunk if trap.instead is None else trap.instead


class Proxy:
    """Runs its links on one event loop in its own thread; a context manager that closes them all."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._links: list[Link] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_CALL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_SECONDS)
        self._loop.close()

    def link(self, name: str, target: int) -> Link:
        """Open a new port that leads to the port `target` of this machine."""

        async def make() -> Link:
            link = Link(name, target, self._loop)
            await link.open()
            return link

        link = asyncio.run_coroutine_threadsafe(make(), self._loop).result(_CALL_SECONDS)
        self._links.append(link)
        return link

    async def _close(self) -> None:
        for link in self._links:
            await link.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@dataclass(eq=False)
class _Connection:
    """A client's connection and the matching connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    forgotten: bool = False
    trapped: tuple[Trap, re.Match[bytes]] | None = None
    _to_server: bool = False
    _passed: int = 0
    _never: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, *, to_server: bool, more: int) -> int:
        """Return the bytes sent in this direction since the last data in the other direction."""
        if to_server is not self._to_server:
            self._to_server, self._passed = to_server, 0
        self._passed += more
        return self._passed

    @property
    def idle(self) -> bool:
        """Whether the last that passed was a reply."""
        return self._passed > 0 and not self._to_server

    async def unless_forgotten(self) -> None:
        if self.forgotten:
            await self._never.wait()

    def end(self) -> None:
        self.client.close()
        self.server.close()

    def reset(self) -> None:
        _reset(self.client)
        _reset(self.server)


class _Over(Exception):
    """Internal: the connection has ended, so the pump of the other direction must end too."""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset instead of an orderly end."""
    plain = writer.get_extra_info("socket")
    if plain is not None and plain.fileno() >= 0:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
