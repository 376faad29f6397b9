"""(d): single prompts over HTTP while an everything job runs on the same two cores, against a quiet service."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import cores
from bench.clicks import Clicks
from bench.photos import Photo
from bench.record import Bound, Quantity, Record, Row, Section
from bench.samples import median, percentile, ratio
from bench.service import Connection
from shared.contract.models import MOBILE_SAM
from tests.support.reference import Click
from tests.support.stack import ObservedStack

KEY = "d"
MOST_RATIO = 1.5
"""The most that p95 beside a job may be, in multiples of that of a quiet service."""

PAUSE = 0.1
"""Seconds between two prompts of a client that does not hurry."""

RECORDS = Path(__file__).with_name("results")

_CORES = 2
_BLOCKS = 4
"""Each side is measured in so many blocks at most, which take turns. So other work on the machine slows both."""

_LONG = {"points_per_side": 128}
"""Options of a job that does not end before it is stopped."""

_WARM_UP = 3
_IDLE_SECONDS = 0.3
_START_SECONDS = 60.0
_FORMAT = "rle"


@dataclass(slots=True)
class _Seen:
    """What the clients saw of one kind of load.

    Attributes:
        quiet, beside: milliseconds of each prompt.
        seconds: time that the prompts beside a job took.
        processor: seconds of processor time that the mask worker used meanwhile.
    """

    quiet: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    seconds: float = 0.0
    processor: float = 0.0

    def row(self, what: str) -> Row:
        p95 = percentile(self.quiet, 95), percentile(self.beside, 95)
        numbers = {
            "quiet p50": median(self.quiet),
            "quiet p95": p95[0],
            "beside p50": median(self.beside),
            "beside p95": p95[1],
            "ratio": ratio(p95[1], p95[0]),
            "mask worker": Quantity(100 * self.processor / self.seconds, "%"),
        }
        return Row(what, numbers, Bound("ratio", most=MOST_RATIO))


def beside(photo: Photo, singles: int) -> Section:
    """Measure (d). The mask worker has its default `SAM_EVERYTHING_NICE`, and as many threads as there are cores.

    Args:
        singles: prompts of each side and of each kind of client.

    Raises:
        RuntimeError: a job did not run while its prompts were measured.
    """
    used = cores.available()[:_CORES]
    environ = {"SAM_MODEL": MOBILE_SAM.name, "SAM_MODELS": ""}
    with cores.running_on(used), ObservedStack(environ, mask_workers=True) as stack:
        side = _Service(stack, photo)
        seen = {pause: _Seen() for pause in (0.0, PAUSE)}
        blocks = min(_BLOCKS, singles)
        block = -(-singles // blocks)
        for _ in range(blocks):
            for pause, one in seen.items():
                one.quiet += side.prompts(block, pause)
                side.begin_job()
                began, processor = time.perf_counter(), side.processor_seconds
                one.beside += side.prompts(block, pause)
                one.seconds += time.perf_counter() - began
                one.processor += side.processor_seconds - processor
                side.end_job()
    rows = [seen[0.0].row("prompts one after the other"), seen[PAUSE].row(f"a prompt, then {1000 * PAUSE:.0f} ms rest")]
    note = (
        f"{photo.name}, warm, one point, three masks as RLE, one client. All on the same {len(used)} cores: the "
        f"API, the client, and a job of {_LONG['points_per_side']} points a side. `ratio` is that of the two p95. "
        "`mask worker`: the processor time that the job got, in % of one core."
    )
    if own := os.nice(0):
        note += f" The bench itself ran at nice {own}, so the mask worker stood back by less than it should."
    return Section(KEY, "Single prompts beside an everything job", rows, note)


def recorded(folder: Path = RECORDS) -> tuple[str, Record] | None:
    """Return the file name and the content of the newest whole record that has this section; None without one."""
    found = []
    for file in folder.glob("*-everything*.json"):
        record = Record.from_json(json.loads(file.read_text()))
        if not record.about["quick"] and any(section.key == KEY for section in record.sections):
            found.append((str(record.about["date"]), file.name, record))
    return max(found, key=lambda one: one[:2])[1:] if found else None


def markdown(folder: Path = RECORDS) -> str:
    """Return the table of docs/everything.md, from the newest record that has it."""
    found = recorded(folder)
    if found is None:
        return "No recorded run has it yet.\n"
    name, record = found
    about = record.about
    lines = [
        f"Run of {str(about['date'])[:10]} on {about['processor']}, {about['cores']} cores "
        f"([everything measured](../bench/results/{name})):",
        "",
        "| p95 of a prompt | quiet | beside a job | ratio | the job got of one core |",
        "|---|---|---|---|---|",
    ]
    for row in record.section(KEY).rows:
        shown = [str(row.numbers[one]) for one in ("quiet p95", "beside p95", "ratio", "mask worker")]
        lines.append(f"| {' | '.join([row.what, *shown])} |")
    return "\n".join(lines) + "\n"


class _Service:
    """The running service with one encoded photo."""

    def __init__(self, stack: ObservedStack, photo: Photo) -> None:
        self._connection = Connection(stack.url)
        (self._mask_worker,) = stack.pids("masks")
        self._clicks = Clicks(photo.size)
        self._image_id = self._connection.upload(photo.jpeg)
        self._connection.wait_until_ready(self._image_id)
        self._job = ""
        self._jobs = 0
        self.prompts(_WARM_UP, 0.0)

    @property
    def processor_seconds(self) -> float:
        """Processor time of the mask worker so far."""
        return cores.processor_seconds(self._mask_worker)

    def prompts(self, count: int, pause: float) -> list[float]:
        """Return the milliseconds of each of so many prompts, each followed by a pause of so many seconds.

        Raises:
            RuntimeError: a job was begun, and does not run any more.
        """
        taken = []
        for _ in range(count):
            click: Click = self._clicks.point()
            taken.append(self._connection.prompt(self._image_id, [click], _FORMAT).milliseconds)
            time.sleep(pause)
        if self._job and (job := self._look())["status"] != "running":
            raise RuntimeError(f"the job ended before the prompts beside it: {job['status']} {job['error']}")
        return taken

    def begin_job(self) -> None:
        """Start a job, and return once it decodes points."""
        self._jobs += 1
        options = _LONG | {"box_nms_thresh": 0.7 - self._jobs / 1000}  # another job each time
        self._job = str(self._connection.ask_everything(self._image_id, options)["links"]["self"])
        deadline = time.monotonic() + _START_SECONDS
        while (job := self._look())["progress"] == 0:
            if time.monotonic() > deadline or job["status"] not in ("queued", "running"):
                raise RuntimeError(f"the job does not run: {job['status']} {job['error']}")
            time.sleep(_IDLE_SECONDS)

    def end_job(self) -> None:
        """Stop the job, and return once the mask worker rests."""
        self._connection.delete(self._job)
        self._job = ""
        deadline = time.monotonic() + _START_SECONDS
        used = -1.0
        while self.processor_seconds - used > 0.0:
            if time.monotonic() > deadline:
                raise RuntimeError("the mask worker goes on although its job was stopped")
            used = self.processor_seconds
            time.sleep(_IDLE_SECONDS)

    def _look(self) -> dict[str, Any]:
        return self._connection.job(self._job)
