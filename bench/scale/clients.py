"""`python -m bench.scale.clients`: annotators who prompt one after the other, all in a process of their own.

They upload an image again if the service has lost it, as annotation tools do. Failures are counted, not raised.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import numpy as np

from bench.raw_connection import RawAnswer, RawConnection
from bench.scale.pictures import image_id, picture
from bench.scale.traffic import Traffic, Visits
from deploy.local.process import ROOT

_PATIENCE = 60.0  # seconds that a prompt may take, encoding included
_RETRY = 0.05


class Answer(NamedTuple):
    """One prompt that was answered with masks.

    Attributes:
        at: when it was answered, in seconds of the system's monotonic clock.
        milliseconds: from the first byte of its first request to the last byte of the masks.
        tier: where the image was: `memory`, `redis`, `encoded` (encoded again from its stored bytes) or `uploaded`
            (uploaded and encoded again).
    """

    at: float
    milliseconds: float
    tier: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What the clients saw.

    Attributes:
        begin, end: of the time that counts, in seconds of the monotonic clock.
        processor: seconds of processor time that the clients used between `begin` and `end`.
        answers: all answers, also those before `begin`.
        failures: all other answers, and broken connections, between `begin` and `end`.
    """

    begin: float
    end: float
    processor: float
    answers: list[Answer] = field(repr=False)
    failures: list[str] = field(default_factory=list)

    def between(self, begin: float, end: float) -> list[Answer]:
        return [answer for answer in self.answers if begin <= answer.at < end]

    @property
    def counted(self) -> list[Answer]:
        return self.between(self.begin, self.end)


class Clients:
    """The process of the clients, as a context manager.

    Attributes:
        begin, end: of the time that counts, in seconds of the monotonic clock. They are set on entering.
    """

    def __init__(
        self,
        url: str,
        traffic: Traffic,
        size: tuple[int, int],
        *,
        warm_up: float,
        seconds: float,
        seed: int,
        pause: float = 0.0,
    ) -> None:
        """
        Args:
            size: (height, width) in pixels of the images, for the clicks.
            warm_up, seconds: seconds of load that do not count at the start, and seconds that count.
            pause: mean seconds that an annotator looks at an answer before the next prompt.
        """
        self.begin = self.end = 0.0
        self._warm_up, self._seconds = warm_up, seconds
        self._plan = {
            "address": urlsplit(url).netloc,
            "traffic": asdict(traffic),
            "size": size,
            "seed": seed,
            "pause": pause,
        }

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.scale.clients"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._plan).encode() + b"\n")
        self._process.stdin.flush()
        self._process.stdout.readline()  # the process is ready
        self.begin = time.monotonic() + self._warm_up
        self.end = self.begin + self._seconds
        self._process.stdin.write(json.dumps({"begin": self.begin, "end": self.end}).encode() + b"\n")
        self._process.stdin.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait(self) -> Answers:
        """Wait until the clients are done.

        Raises:
            RuntimeError: they ended early; the reason is on standard error.
        """
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        if self._process.wait() != 0:
            raise RuntimeError(f"the clients ended with status {self._process.returncode}")
        seen = json.loads(output)
        return Answers(
            self.begin, self.end, seen["processor"], [Answer(*one) for one in seen["answers"]], seen["failures"]
        )


class _Client(threading.Thread):
    """One annotator."""

    def __init__(self, plan: dict[str, Any], images: Iterator[int], rng: np.random.Generator) -> None:
        super().__init__(daemon=True)
        self._plan, self._images, self._rng = plan, images, rng
        self._connection: RawConnection | None = None
        self.answers: list[Answer] = []
        self.failures: list[tuple[float, str]] = []

    def run(self) -> None:
        for image in self._images:
            started = time.monotonic()
            if started >= self._plan["end"]:
                return
            try:
                tier = self._prompt(image, started + _PATIENCE)
            except (OSError, RuntimeError, ValueError) as error:
                self._connection = None
                self.failures.append((time.monotonic(), repr(error)))
            else:
                ended = time.monotonic()
                self.answers.append(Answer(ended, 1000 * (ended - started), tier))
            if self._plan["pause"]:
                time.sleep(self._rng.exponential(self._plan["pause"]))

    def _prompt(self, image: int, deadline: float) -> str:
        """Repeat the prompt until it is answered, and upload the image if needed. Returns the tier that had the image.

        Raises:
            OSError, ValueError: the connection broke.
            RuntimeError: it was refused for another reason than a missing image.
        """
        height, width = self._plan["size"]
        x, y = self._rng.uniform(0, 1, 2) * (width, height)
        body = b'{"prompts":[{"points":[[%.1f,%.1f]],"labels":[1]}]}' % (x, y)
        path = f"/v1/images/{image_id(image)}/masks"
        tier = ""
        while (answer := self._send(path + ("?wait=30" if tier else ""), body)).status != 200:
            if answer.status in (404, 410):
                self._upload(image)
                tier = "uploaded"
            elif answer.status == 409:
                tier = tier or "encoded"
            else:
                raise RuntimeError(f"a prompt was answered {answer.status} {answer.body.decode()}")
            if time.monotonic() > deadline:
                raise RuntimeError("a prompt was not answered in time")
            time.sleep(_RETRY * self._rng.random())
        if tier:
            return tier
        return "memory" if b"fetch;dur=0.00" in answer.header(b"server-timing") else "redis"

    def _upload(self, image: int) -> None:
        answer = self._send("/v1/images?wait=30", picture(image))
        if answer.status not in (200, 202, 404, 410):  # so small a cache may evict an image before it is encoded
            raise RuntimeError(f"an upload was answered {answer.status} {answer.body.decode()}")

    def _send(self, path: str, body: bytes) -> RawAnswer:
        head = f"POST {path} HTTP/1.1\r\nHost: {self._plan['address']}\r\nContent-Length: {len(body)}\r\n\r\n"
        if self._connection is None:
            self._connection = RawConnection(self._plan["address"])
        return self._connection.exchange(head.encode() + body)


def main() -> None:
    """Read the plan, report that it is ready, read when to begin and end, and write the result; on standard streams."""
    plan = json.loads(sys.stdin.readline())
    traffic = Traffic(**plan["traffic"])
    for image in range(traffic.images):  # no collection during the measurement
        image_id(image)
    visits = Visits(traffic)
    streams = np.random.default_rng(plan["seed"]).spawn(traffic.annotators)
    print("ready", flush=True)
    plan |= json.loads(sys.stdin.readline())
    clients = [_Client(plan, visits.prompted(rng), rng) for rng in streams]
    for client in clients:
        client.start()
    time.sleep(max(0.0, plan["begin"] - time.monotonic()))
    before = time.process_time()
    time.sleep(max(0.0, plan["end"] - time.monotonic()))
    processor = time.process_time() - before
    for client in clients:
        client.join()
    failures = [what for client in clients for at, what in client.failures if at >= plan["begin"]]
    answers = sorted(answer for client in clients for answer in client.answers)
    json.dump({"processor": processor, "answers": answers, "failures": failures}, sys.stdout)


if __name__ == "__main__":
    main()
