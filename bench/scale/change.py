"""(c) What it costs, under load, when a replica is added and when one dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.record import Bound, Quantity, Row, Section
from bench.scale.amounts import Amounts
from bench.scale.clients import Answer, Answers
from bench.scale.measuring import failed, hit_rate, homes, latency, percent, under_load
from bench.scale.population import Population
from tests.support.fleet import Fleet

WINDOW = 3.0
"""Seconds of the window that a hit rate is computed over."""

_STEP = 0.5
_BACK = 0.95  # fraction of the earlier hit rate at which it counts as back
_AFTER = 20.0  # seconds after the change in which the latency is taken


@dataclass(frozen=True, slots=True)
class Moment:
    """The `WINDOW` seconds before a moment.

    Attributes:
        at: seconds after the change; negative before it.
        hit_rate: of the replicas' memory.
        p95: milliseconds.
    """

    at: float
    hit_rate: float
    p95: float

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


Timelines = dict[str, list[Moment]]


def change(amounts: Amounts, population: Population) -> tuple[Section, Timelines]:
    """Measure (c): a third replica joins two, and then one of the three is killed."""
    load = amounts.change
    timelines: Timelines = {}
    rows: list[Row] = []
    with Fleet(2, workers=0, settings=population.settings(load.memory)) as fleet:
        population.store(fleet.cache_url, range(load.traffic.images))
        before = homes(fleet, population, load.traffic.images)
        steps: list[tuple[str, Callable[[], object], Bound | None]] = [
            ("a third replica comes", fleet.add_replica, None),
            ("one of three is killed", lambda: fleet.kill_replica(fleet.replicas[0]), Bound("back after", most=60)),
        ]
        for what, happens, bound in steps:
            event = _Event(happens, load.seconds / 3)
            answers = under_load(fleet, population, load, event).answers
            after = homes(fleet, population, load.traffic.images)
            moved = sum(after[one] != before[one] for one in before) / len(before)
            before = after
            timelines[what] = moments(answers.counted, event.at, answers.end)
            numbers = {"images moved": percent(moved), **_costs(answers, event.at, timelines[what])}
            rows.append(Row(what, numbers, bound))
            whole = {"prompts": Quantity(len(answers.counted), "prompts"), "failed": failed(answers)}
            rows.append(Row(f"{what}: failures", whole, Bound("failed", most=0)))
    note = f"Hit rates over {WINDOW:g} s; back: at {100 * _BACK:g} % of the one before. {load.traffic.images} images."
    return Section("c", "A replica more, and one less, under load", rows, note), timelines


class _Event:
    """Calls `happens` after some seconds of load.

    Attributes:
        at: when it was called, in seconds of the monotonic clock.
    """

    def __init__(self, happens: Callable[[], object], after: float) -> None:
        self._happens, self._after = happens, after
        self.at = 0.0

    def __call__(self, begin: float) -> None:
        time.sleep(max(0.0, begin + self._after - time.monotonic()))
        self.at = time.monotonic()
        self._happens()


def moments(answers: Sequence[Answer], event: float, end: float) -> list[Moment]:
    """Hit rate and p95 in a window that slides over the answers. Windows without an answer are left out."""
    found = []
    at = answers[0].at + WINDOW
    while at <= end:
        window = [answer for answer in answers if at - WINDOW <= answer.at < at]
        if window:
            found.append(Moment(at - event, hit_rate(window), latency(window)["p95"].value))
        at += _STEP
    return found


def seconds_until_back(timeline: Sequence[Moment], before: float) -> float:
    """Seconds after the change until the hit rate stays above `_BACK` of `before`; 0 if it never fell below that."""
    low = [moment.at for moment in timeline if moment.at > 0 and moment.hit_rate < _BACK * before]
    return max(low) + _STEP if low else 0.0


def _costs(answers: Answers, event: float, timeline: Sequence[Moment]) -> dict[str, Quantity]:
    before = answers.between(answers.begin, event)
    lowest = min((moment.hit_rate for moment in timeline if moment.at > 0), default=0.0)
    return {
        "hit rate before": percent(hit_rate(before)),
        "lowest": percent(lowest),
        "back after": Quantity(seconds_until_back(timeline, hit_rate(before)), "s"),
        "p95 before": latency(before)["p95"],
        f"p95 of {_AFTER:g} s after": latency(answers.between(event, event + _AFTER))["p95"],
    }
