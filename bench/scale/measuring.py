"""A fleet under load: what the clients saw, and the processor time of each kind of process."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench import cores
from bench.raw_connection import RawConnection
from bench.record import Quantity
from bench.samples import percentile
from bench.scale.amounts import Load
from bench.scale.clients import Answer, Answers, Clients
from bench.scale.pictures import image_id
from bench.scale.population import Population
from tests.support.fleet import Fleet

SEED = 20_261_122

_SHOWN = 5  # failures that are printed, at most
_BACKGROUND = 0.3  # seconds for a replica to prepare the last image after its answer


@dataclass(frozen=True, slots=True)
class Measured:
    """What a fleet did under load.

    Attributes:
        answers: what the clients saw.
        processor: seconds of processor time during the time that counts, by kind of process.
    """

    answers: Answers
    processor: dict[str, float]

    def per_prompt(self, kind: str) -> Quantity:
        """Milliseconds of processor time that a kind of process spent on each prompt."""
        return Quantity(1000 * self.processor[kind] / max(1, len(self.answers.counted)), "ms")

    @property
    def rate(self) -> Quantity:
        """Prompts answered per second."""
        return Quantity(len(self.answers.counted) / (self.answers.end - self.answers.begin), "prompts/s")


def under_load(
    fleet: Fleet, population: Population, load: Load, then: Callable[[float], None] = lambda _begin: None
) -> Measured:
    """Let clients prompt. Meanwhile call `then` with the begin of the time that counts, in monotonic seconds."""
    with Clients(
        fleet.url,
        load.traffic,
        population.size,
        warm_up=load.warm_up,
        seconds=load.seconds,
        seed=SEED,
        pause=load.pause,
    ) as clients:
        _sleep_until(clients.begin)
        before = {name: _processor(pids) for name, pids in fleet.pids.items()}
        then(clients.begin)
        _sleep_until(clients.end)
        spent = {name: _processor(pids) - before[name] for name, pids in fleet.pids.items()}
        answers = clients.wait()
    for failure in answers.failures[:_SHOWN]:
        print(f"failed: {failure}", file=sys.stderr)
    return Measured(answers, {**spent, "clients": answers.processor})


def prompt_all(fleet: Fleet, population: Population, images: int) -> float:
    """Prompt every image once, one after the other. Returns the replicas' processor time for it, in seconds."""
    before = _processor(fleet.pids["replicas"])
    _prompt_each(fleet, population, images)
    time.sleep(_BACKGROUND)
    return _processor(fleet.pids["replicas"]) - before


def homes(fleet: Fleet, population: Population, images: int) -> dict[str, str]:
    """Prompt every image without other load, so that it is in memory. Returns the replica of each, by image id."""
    replicas = fleet.answered_by(_prompt_each(fleet, population, images))
    time.sleep(_BACKGROUND)
    return dict(zip(map(image_id, range(images)), replicas, strict=True))


def _prompt_each(fleet: Fleet, population: Population, images: int) -> list[str]:
    """The ids of the requests, by image."""
    height, width = population.size
    body = b'{"prompts":[{"points":[[%d,%d]],"labels":[1]}]}' % (width // 2, height // 2)
    address = urlsplit(fleet.url).netloc
    connection = RawConnection(address)
    request_ids = [f"{uuid.uuid4().hex}-{image}" for image in range(images)]
    for image, request_id in enumerate(request_ids):
        head = f"POST /v1/images/{image_id(image)}/masks HTTP/1.1\r\nHost: {address}\r\nX-Request-ID: {request_id}\r\n"
        answer = connection.exchange(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if answer.status != 200:
            raise RuntimeError(f"a prompt was answered {answer.status} {answer.body.decode()}")
    connection.close()
    return request_ids


def hit_rate(answers: Sequence[Answer]) -> float:
    """Fraction of the prompts whose image was in the replica's memory; 0 without prompts."""
    return sum(answer.tier == "memory" for answer in answers) / max(1, len(answers))


def latency(answers: Sequence[Answer]) -> dict[str, Quantity]:
    """`p50` and `p95` of the answers."""
    taken = [answer.milliseconds for answer in answers] or [0.0]
    return {"p50": percentile(taken, 50), "p95": percentile(taken, 95)}


def percent(part: float) -> Quantity:
    return Quantity(100 * part, "%")


def failed(answers: Answers) -> Quantity:
    """Number of prompts that were not answered with masks."""
    return Quantity(len(answers.failures), "prompts")


def _processor(pids: Sequence[int]) -> float:
    return sum(cores.processor_seconds(pid) for pid in pids)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
