"""What a soak found about memory, latency and leaks, written as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.soak_load import Plan
from bench.vitals import Vitals

WARM_UP = 0.5
"""The fraction of the run that is not judged: caches fill in it, pools grow, and the heap settles. A leak in each
request shows in the rest of the run as well."""

MOST_GROWTH = 0.03
"""The fraction by which a process's memory may grow over the rest of the run, on the fitted line."""

PROCESSES = ("api", "worker 1", "valkey")
"""The processes that are watched. Of the last one only files and threads are judged: its keys take its memory."""

_SPARE_FILES = 3
_PARTS = 5
_RECORDED = 100  # samples in the record, about


@dataclass(frozen=True, slots=True)
class Trend:
    """How a process's memory changed after the warm-up.

    Attributes:
        start, end: MB at both ends of the fitted line, which follows the memory at rest.
        slope: MB per 10,000 prompts, by least squares.
    """

    start: float
    end: float
    slope: float

    @property
    def flat(self) -> bool:
        return self.end - self.start <= MOST_GROWTH * self.start


@dataclass(frozen=True, slots=True)
class Result:
    """What one part of the soak found.

    Attributes:
        trends: by process.
        latency: p50 and p99 of single prompts in ms, in the first and the last tenth of them after the warm-up.
        answers: number of answers, by request and status.
        leaks: what the service still holds after everything was deleted or has expired.
        samples: the service over time. The last one was taken after the end.
    """

    model: str
    plan: Plan
    seconds: float
    trends: Mapping[str, Trend]
    latency: Mapping[str, tuple[float, float]]
    answers: Mapping[str, int]
    leaks: Sequence[str]
    samples: Sequence[Vitals]

    @property
    def passed(self) -> bool:
        return not self.leaks and all(trend.flat for trend in self.trends.values())

    def as_json(self) -> dict[str, Any]:
        samples = self.samples[:: 1 + len(self.samples) // _RECORDED]
        return {**asdict(self), "passed": self.passed, "samples": [sample.as_json() for sample in samples]}


def trend_of(samples: Sequence[Vitals], process: str) -> Trend:
    """The line through a process's memory against the number of prompts, without the first `WARM_UP` of them.

    The prompts are cut into `_PARTS` equal parts, and the line goes through the lowest sample of each. Other samples
    may have 30 MB more: an image that was being encoded, or memory that malloc had not yet given back.
    """
    total = samples[-1].prompts
    marks = np.linspace(WARM_UP * total, total, _PARTS + 1)
    prompts = np.array([sample.prompts for sample in samples], float)
    memory = np.array([sample.processes[process].memory for sample in samples])
    part = np.digitize(prompts, marks[1:-1])[prompts >= marks[0]]
    prompts, memory = prompts[prompts >= marks[0]], memory[prompts >= marks[0]]
    least = [np.flatnonzero(part == one)[memory[part == one].argmin()] for one in np.unique(part)]
    slope, offset = np.polyfit(prompts[least], memory[least], 1) if len(least) > 1 else (0.0, memory[least[0]])
    start, end = offset + slope * marks[[0, -1]]
    return Trend(float(start), float(end), float(slope * 10_000))


def processor_costs(samples: Sequence[Vitals]) -> tuple[float, float]:
    """The API's processor time per prompt in ms, in the first and the last quarter after the warm-up.

    It is shown beside the latency, which depends on what else the machine does.
    """
    prompts = [sample.prompts for sample in samples]
    used = [sample.processes["api"].processor for sample in samples]
    marks = prompts[-1] * np.array([WARM_UP, WARM_UP + (1 - WARM_UP) / 4, 1 - (1 - WARM_UP) / 4, 1])
    first, second, third, last = np.interp(marks, prompts, used)
    quarter = prompts[-1] * (1 - WARM_UP) / 4
    return float(1000 * (second - first) / quarter), float(1000 * (last - third) / quarter)


def leaks(before: Vitals, after: Vitals) -> list[str]:
    """What `after` has more of than `before`: keys, members of registries, threads, files."""
    found = [
        f"{kind}: {count}, before {before.keys.get(kind, 0)}"
        for kind, count in after.keys.items()
        if count > before.keys.get(kind, 0)
    ]
    if after.lasting > before.lasting:
        found.append(f"keys that never expire: {after.lasting}, before {before.lasting}")
    for name, process in after.processes.items():
        was = before.processes[name]
        if process.threads > was.threads:
            found.append(f"threads of {name}: {process.threads}, before {was.threads}")
        if process.files > was.files + _SPARE_FILES:
            found.append(f"open files of {name}: {process.files}, before {was.files}")
    return found


def table(result: Result) -> str:
    """The result as a table in Markdown."""
    lines = [
        f"| `{result.model}`: {result.plan.prompts:,} prompts, {result.plan.uploads:,} uploads, "
        f"{result.seconds / 60:.0f} min | after warm-up | at the end | slope per 10,000 prompts |",
        "|---|---|---|---|",
    ]
    for name, trend in result.trends.items():
        verdict = "" if trend.flat else " **grows**"
        lines.append(
            f"| memory of {name} | {trend.start:.1f} MB | {trend.end:.1f} MB | {trend.slope:+.2f} MB{verdict} |"
        )
    (p50, p99), (last50, last99) = result.latency["first tenth"], result.latency["last tenth"]
    costs = [f"{cost:.1f} ms" for cost in processor_costs(result.samples)]
    lines.append(f"| processor time of the API, per prompt | {costs[0]} | {costs[1]} | |")
    lines.append(f"| one prompt alone, p50 / p99 | {p50:.1f} / {p99:.1f} ms | {last50:.1f} / {last99:.1f} ms | |")
    first, last = result.samples[0], result.samples[-1]
    for what in ("files", "threads"):
        shown = [
            ", ".join(f"{name} {getattr(process, what)}" for name, process in sample.processes.items())
            for sample in (first, last)
        ]
        lines.append(f"| {what} | {shown[0]} | {shown[1]} | |")
    most = max(sum(count for kind, count in one.keys.items() if " " not in kind) for one in result.samples)
    left = "; ".join(result.leaks) or "nothing"
    lines.append(f"| keys, at most {most:,} at once | | | left behind: {left} |")
    return "\n".join(lines)


def latency_of(milliseconds: Sequence[float]) -> dict[str, tuple[float, float]]:
    """`Result.latency`, from times in the order of the answers."""
    tenth = max(1, len(milliseconds) // 10)
    warm = milliseconds[int(WARM_UP * len(milliseconds)) :]
    parts = {"first tenth": warm[:tenth], "last tenth": warm[-tenth:]}
    return {name: (float(np.percentile(part, 50)), float(np.percentile(part, 99))) for name, part in parts.items()}
