"""The README's chart and its three numbers, from the recorded runs that the documents show."""

from __future__ import annotations

from bench import summary
from bench.record import Row
from bench.shown import ROOT, shown
from tests.chaos import report

HTTP, STORED = "HTTP prompt, one core each", "cache of float16"


def front() -> str:
    """A chart, and a table of three numbers with what is asked of each."""
    file = shown("prompt")
    record, chaos = summary.read(file), report.read(shown("chaos"))
    about, totals = record.about, chaos["totals"]
    (http,) = (row for row in record.section("b").rows if row.what == HTTP)
    (masks,) = (row for row in record.section("g").rows if row.what == STORED)
    least, mean = (iou_text(masks.numbers[name].value) for name in ("least IoU", "mean IoU"))
    harm = f"{totals['wrong']} wrong masks, {totals['lost']} lost uploads, {totals['server errors']} server errors"
    chart = file.relative_to(ROOT).with_suffix("").as_posix()
    lines = [
        f"![How long a prompt takes, and how long SamPredictor's takes]({chart}-latency.svg)",
        "",
        "| | measured | asked |",
        "|---|---|---|",
        f"| a prompt over HTTP, one core | {http.numbers['p50']}: {http.numbers['ratio'].value:.1f} times as fast as "
        f"`SamPredictor.predict` in process | {_asked(http)} |",
        "| its masks, from a cache of float16 (the default), against `SamPredictor`'s "
        f"| least IoU {least}, mean {mean} | {_asked(masks)} |",
        f"| {totals['faults']} faults under load: processes killed, Redis gone, network cut, … "
        f"| {harm} in {totals['requests']} requests | none: {'**no**' if report.failed(chaos) else 'yes'} |",
        "",
        f"The first two on {about['processor']}, {about['cores']} cores, {about['date'][:10]} "
        f"([performance](docs/performance.md)); the third on {chaos['about']['cores']} cores, "
        f"{chaos['about']['date'][:10]} ([chaos](docs/chaos.md)).",
    ]
    return "\n".join(lines) + "\n"


def iou_text(value: float) -> str:
    """An IoU with two digits more than it has nines: 0.9942, 0.99977."""
    digits = f"{value:.9f}".removeprefix("0.")
    nines = len(digits) - len(digits.lstrip("9"))
    return f"{value:.{nines + 2}f}"


def _asked(row: Row) -> str:
    return f"{row.bound}: {'yes' if row.passed else '**no**'}"
