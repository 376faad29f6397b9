"""An address belongs to one service, however many processes that has, and nothing of a service outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import free_port
from prompt_api.serving.address_lock import address_lock
from prompt_api.serving.server import REFUSED, reserve
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings

COMMAND = [sys.executable, "-m", "prompt_api"]


def environ_of(port: int) -> dict[str, str]:
    """Of a service of two processes, whose Redis is away: it starts all the same."""
    return {
        **os.environ,
        "SAM_MODEL": "fake",
        "SAM_CACHE_URL": f"redis://127.0.0.1:{free_port()}/0",
        "SAM_PORT": str(port),
        "SAM_API_PROCESSES": "2",
    }


@contextmanager
def service(port: int) -> Iterator[subprocess.Popen[str]]:
    """A service that has its address, but does not serve yet."""
    with subprocess.Popen(COMMAND, env=environ_of(port), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        reader = threading.Thread(target=process.stderr.read, daemon=True)
        try:
            next(line for line in process.stderr if "starting on" in line)
            reader.start()  # a full pipe would stop the service
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            reader.join(30)


def serves(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def until(condition: bool, port: int) -> None:
    """Return once the service at `port` serves, or no longer does; fail after 60 s."""
    for _ in range(1200):
        if serves(port) is condition:
            return
        threading.Event().wait(0.05)
    raise AssertionError(f"serving is not {condition}")


def children_of(process: subprocess.Popen[str]) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def lives(pid: int) -> bool:
    """Whether the process runs; one that nobody has asked for its status yet does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_second_service_on_an_address_is_refused_and_a_killed_one_leaves_nothing_behind() -> None:
    port = free_port()
    with service(port) as first:
        second = subprocess.run(COMMAND, env=environ_of(port), capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == REFUSED
        assert f"another service has 127.0.0.1:{port}" in second.stderr
        until(True, port)
        several = Settings(port=port, api_processes=2)
        with pytest.raises(ConfigurationError, match="cannot listen"):  # though it does not ask for the lock
            reserve(several)

        children = children_of(first)
        assert len(children) == 2
        first.kill()
        until(False, port)
        for _ in range(1200):
            if not any(map(lives, children)):
                break
            threading.Event().wait(0.05)
        assert not any(map(lives, children))
        with address_lock("127.0.0.1", port), closing(reserve(several)):
            pass


def test_a_lock_is_free_again_after_its_holder() -> None:
    port = free_port()
    for _ in range(2):
        with (
            address_lock("localhost", port),
            pytest.raises(ConfigurationError),
            address_lock("127.0.0.1", port),
        ):
            pass


def test_services_on_two_addresses_of_one_port_are_not_in_each_others_way() -> None:
    port = free_port()
    with address_lock("127.0.0.1", port), address_lock("127.0.0.2", port), address_lock("127.0.0.1", port + 1):
        pass


def test_a_port_that_the_kernel_chooses_needs_no_lock() -> None:
    with address_lock("127.0.0.1", 0), address_lock("127.0.0.1", 0):
        pass
