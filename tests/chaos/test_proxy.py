"""The proxy does to a connection what a test asks for, and nothing else."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import FAIR, Link, Proxy, Trap, Weather

BIG = 2_000_000
SOON = 60.0
BRIEFLY = 0.2
"""Seconds of silence after which a test concludes that nothing comes."""


class _Server(socketserver.ThreadingTCPServer):
    """Echoes each line, but answers `big` with two megabytes."""

    daemon_threads = True
    block_on_close = False


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.wfile.write(b"x" * BIG if line == b"big\n" else line)
        except ConnectionError:
            return


@pytest.fixture
def link() -> Iterator[Link]:
    with _Server(("127.0.0.1", 0), _Handler) as server, Proxy() as proxy:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield proxy.link("test", server.server_address[1])
        server.shutdown()


@pytest.fixture
def client(link: Link) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), SOON) as connected:
        yield connected


def asked(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return client.recv(100)


def read_to_the_end(client: socket.socket, most: int) -> int:
    count = 0
    while count < most and (data := client.recv(65_536)):
        count += len(data)
    return count


def first_byte_from(port: int) -> bytes:
    """Return the first byte that a new connection receives. A reset may come before the connection is open."""
    with socket.create_connection(("127.0.0.1", port), SOON) as new:
        return new.recv(1)


def comes(client: socket.socket, seconds: float) -> bool:
    """Return whether anything arrives within `seconds`; the end of the connection counts."""
    client.settimeout(seconds)
    try:
        client.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        client.settimeout(SOON)
    return True


def test_in_fair_weather_everything_passes_unchanged(client: socket.socket) -> None:
    assert asked(client, b"hello\n") == b"hello\n"
    client.sendall(b"big\n")
    assert read_to_the_end(client, BIG) == BIG


def test_a_delay_holds_a_reply_back(link: Link, client: socket.socket) -> None:
    link.set_weather(Weather(delay=BRIEFLY))
    client.sendall(b"hello\n")
    assert not comes(client, BRIEFLY)
    assert client.recv(100) == b"hello\n"


def test_a_trickle_slows_replies_only(link: Link, client: socket.socket) -> None:
    link.set_weather(Weather(bytes_per_second=BIG))
    client.sendall(b"big\n")
    assert read_to_the_end(client, BIG // 10) < BIG
    link.set_weather(FAIR)


def test_a_blackhole_lets_nothing_pass_until_it_is_over(link: Link, client: socket.socket) -> None:
    link.set_weather(Weather(blackhole=True))
    client.sendall(b"hello\n")
    with socket.create_connection(("127.0.0.1", link.port), SOON) as later:
        later.sendall(b"later\n")
        assert not comes(client, BRIEFLY)
        assert not comes(later, BRIEFLY)
        link.set_weather(FAIR)
        assert client.recv(100) == b"hello\n"
        assert later.recv(100) == b"later\n"


def test_forgotten_connections_stay_silent_while_new_ones_work(link: Link, client: socket.socket) -> None:
    assert asked(client, b"hello\n") == b"hello\n"
    link.forget()
    client.sendall(b"again\n")
    with socket.create_connection(("127.0.0.1", link.port), SOON) as new:
        assert asked(new, b"hello\n") == b"hello\n"
    assert not comes(client, BRIEFLY)


def test_a_reset_reaches_the_client_as_one(link: Link, client: socket.socket) -> None:
    assert asked(client, b"hello\n") == b"hello\n"
    link.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_link_that_refuses_resets_each_new_connection(link: Link) -> None:
    link.set_weather(Weather(refuse=True))
    with pytest.raises(ConnectionResetError):
        first_byte_from(link.port)


def test_a_server_that_is_gone_looks_like_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Proxy() as proxy, pytest.raises(ConnectionResetError):
        first_byte_from(proxy.link("nowhere", port).port)


def test_a_long_reply_is_cut_in_the_middle_and_short_ones_are_not(link: Link, client: socket.socket) -> None:
    link.set_weather(Weather(cut=BIG // 2))
    for _ in range(3):
        assert asked(client, b"hello\n") == b"hello\n"
    client.sendall(b"big\n")
    assert read_to_the_end(client, BIG) == BIG // 2


def test_a_trap_springs_on_the_reply_it_waits_for_and_keeps_it(link: Link, client: socket.socket) -> None:
    trap = Trap(re.compile(rb"pop (\w+)"), re.compile(rb"full"), hold=True)
    link.arm(trap)
    assert asked(client, b"pop empty\n") == b"pop empty\n"
    assert not trap.sprung.is_set()
    client.sendall(b"pop full\n")
    assert trap.sprung.wait(SOON)
    assert trap.victim == "full"
    assert not comes(client, BRIEFLY)


def test_a_trap_that_does_not_hold_lets_the_reply_pass(link: Link, client: socket.socket) -> None:
    sprung: list[str] = []
    trap = Trap(re.compile(rb"get"), hold=False, once=False, on_spring=lambda link: sprung.append(link.name))
    link.arm(trap)
    for _ in range(2):
        assert asked(client, b"get\n") == b"get\n"
    assert sprung == ["test", "test"]


def test_a_watcher_sees_what_clients_send(link: Link, client: socket.socket) -> None:
    seen: list[bytes] = []
    link.watch(seen.append)
    asked(client, b"hello\n")
    client.sendall(b"big\n")
    read_to_the_end(client, BIG)
    assert seen == [b"hello\n", b"big\n"]


def test_a_surplus_reply_comes_where_nothing_was_asked_and_nowhere_else(link: Link, client: socket.socket) -> None:
    assert asked(client, b"one\n") == b"one\n"
    with socket.create_connection(("127.0.0.1", link.port), SOON) as silent:
        link.send_surplus(b"more\n")
        assert client.recv(100) == b"more\n"
        assert not comes(silent, BRIEFLY)
    assert asked(client, b"two\n") == b"two\n"
