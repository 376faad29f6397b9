"""(c), (d): when the first answer of `auto` comes, and when the finer one follows."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.record import Bound, Quantity, Row, Section
from bench.regions.asking import WAIT, Asking, click
from bench.regions.quality import Clicked
from bench.samples import in_turns, median, percentile, ratio
from tests.support.stack import ObservedStack

MOST_SLOWER = 1.05
"""Times that the first answer may take with `auto`."""

MOST_AFTER_ENCODER = 100.0
"""Milliseconds beside the encoder that the finer answer may take."""

REGIONS = 4
"""Regions of each picture whose finer answer is timed."""

_ENCODE = re.compile(r"encode (\d+)")


def first_answers(stack: ObservedStack, service: Asking, picture: Clicked, rounds: int) -> Section:
    """Time clicks with and without `auto`, in turns. No worker runs meanwhile, so no region becomes ready."""
    points = [one.thing.point for one in picture.clicks] * rounds
    clicks = [click((x + number % 3, y)) for number, (x, y) in enumerate(points)]
    image_id = service.upload(picture.scene.jpeg + b"\0")  # an image of its own, of which no region was asked for
    service.ask(image_id, clicks[0])
    with _no_worker(stack):
        taken = in_turns(
            {
                "without": lambda prompt: service.ask(image_id, prompt),
                "auto": lambda prompt: service.ask(image_id, prompt, "auto"),
            },
            clicks,
            warm_up=4,
        )
    without, auto = median(taken["without"]), median(taken["auto"])
    numbers = {
        "prompts": Quantity(len(clicks), "prompts"),
        "without auto": without,
        "with auto": auto,
        "p95 without": percentile(taken["without"], 95),
        "p95 with": percentile(taken["auto"], 95),
        "times": ratio(auto, without),
    }
    note = "Medians over HTTP, image in memory, three masks as RLE; the region that would be finer is not encoded."
    rows = [Row(f"{picture.megapixels} MP", numbers, Bound("times", most=MOST_SLOWER))]
    return Section("c", "The first answer to a click", rows, note)


def finer_answers(stack: ObservedStack, service: Asking, pictures: Sequence[Clicked]) -> Section:
    """Time from a click to its finer answer, for regions that nobody has asked for before."""
    rows = []
    for picture in pictures:
        waits, encodes = [], []
        height = picture.scene.size[0]
        for number in range(REGIONS):
            corner = (64 + 97 * number, height // 2 + 41 * number)
            region = [*corner, corner[0] + 512, corner[1] + 512]
            seen = len(_encode_times(stack))
            began = time.perf_counter()
            answer = service.ask(picture.image_id, click((corner[0] + 256, corner[1] + 256)), region, wait=WAIT)
            waits.append(1000 * (time.perf_counter() - began))
            encodes += _encode_times(stack)[seen:]
            assert answer.region == region
        total, encode = median(waits[1:]), median(encodes[1:])
        numbers = {
            "click to answer": total,
            "the encoder in that": encode,
            "beside it": Quantity(total.value - encode.value, "ms"),
        }
        rows.append(Row(f"{picture.megapixels} MP", numbers, Bound("beside it", most=MOST_AFTER_ENCODER)))
    note = "Medians, one region after the other; the first one of a picture, for which its file is decoded, left out."
    return Section("d", "The finer answer", rows, note)


def _encode_times(stack: ObservedStack) -> list[float]:
    lines = [line for name in stack.children if name.startswith("worker") for line in stack.log(name)]
    return [float(found[1]) for line in lines if "encoded by" in line and (found := _ENCODE.search(line))]


@contextmanager
def _no_worker(stack: ObservedStack) -> Iterator[None]:
    workers = stack.pids("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
