"""`python -m bench.load`: clients that send the next prompt as soon as the last is answered, in their own process.

They use raw sockets and ready-made requests, because they take processor time from the service on the same machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

from bench.raw_connection import RawConnection

_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients saw.

    Attributes:
        wall: seconds measured.
        processor: seconds of processor time that the clients used in that time.
        milliseconds: how long each request took that was answered in that time.
    """

    wall: float
    processor: float
    milliseconds: list[float]

    @property
    def rate(self) -> float:
        """Requests answered per second."""
        return len(self.milliseconds) / self.wall


def run_load(url: str, path: str, bodies: Sequence[bytes], *, connections: int, warm_up: float, seconds: float) -> Load:
    """Post `bodies` again and again from another process.

    Args:
        connections: how many clients post at once.
        warm_up: seconds before the measured time.
        seconds: length of the measured time.

    Raises:
        subprocess.CalledProcessError: a request was refused; the reason is on standard error.
    """
    plan = {
        "address": urlsplit(url).netloc,
        "path": path,
        "bodies": [body.decode() for body in bodies],
        "connections": connections,
        "warm_up": warm_up,
        "seconds": seconds,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(plan).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=warm_up + seconds + _TIMEOUT,
        cwd=Path(__file__).parents[1],
    )
    return Load(**json.loads(done.stdout))


class _Client:
    """One connection. `answered` has, for each request, when it was answered and how long it took, in seconds."""

    def __init__(self, address: str, requests: Sequence[bytes], first: int) -> None:
        self._connection = RawConnection(address)
        self._requests = islice(cycle(requests), first, None)
        self.answered: list[tuple[float, float]] = []
        self.failure: BaseException | None = None

    def run(self, until: float) -> None:
        try:
            ended = 0.0
            while ended < until:
                started = time.perf_counter()
                self._ask()
                ended = time.perf_counter()
                self.answered.append((ended, ended - started))
        except BaseException as error:
            self.failure = error

    def _ask(self) -> None:
        answer = self._connection.exchange(next(self._requests))
        if answer.status != 200:
            raise RuntimeError(f"the API answered {answer.head.decode()}\n{answer.body.decode()}")


def main() -> None:
    """Read the plan from standard input, and write a `Load` to standard output."""
    plan = json.load(sys.stdin)
    head = f"POST {plan['path']} HTTP/1.1\r\nHost: {plan['address']}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode() for body in plan["bodies"]]
    clients = [_Client(plan["address"], requests, first) for first in range(plan["connections"])]
    begin = time.perf_counter() + plan["warm_up"]
    end = begin + plan["seconds"]
    threads = [threading.Thread(target=client.run, args=(end,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(plan["warm_up"])
    before = time.process_time()
    time.sleep(max(0.0, end - time.perf_counter()))
    processor = time.process_time() - before
    for thread in threads:
        thread.join()
    for client in clients:
        if client.failure is not None:
            raise client.failure
    seen = [one for client in clients for one in client.answered]
    wall, answered = measured(seen, begin, end)
    json.dump(asdict(Load(wall, processor, answered)), sys.stdout)


def measured(answered: Sequence[tuple[float, float]], begin: float, end: float) -> tuple[float, list[float]]:
    """Seconds measured, and the milliseconds of each request that was answered in them.

    If the machine was so busy that nothing was answered, they last until the first answer after that. There is one:
    the last request of each client is answered after `end`.
    """
    end = max(end, min(at for at, _ in answered if at >= begin))
    return end - begin, [1000 * taken for at, taken in answered if begin <= at <= end]


if __name__ == "__main__":
    main()
