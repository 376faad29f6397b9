"""Two plots: hit rate over time as replicas come and go, and the tiers that answer, measured and simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.record import Record
from bench.svg import FAINT, GRID, Drawing, ticks

if TYPE_CHECKING:
    from bench.scale.change import Moment

_HIT, _LATENCY = "#0969da", "#bc4c00"
_SIMULATED = "#8c959f"


def change_plot(record: Record, timelines: dict[str, list[Moment]]) -> str:
    """A panel for each change: hit rate of the replicas' memory and p95 of the prompts, by seconds from it."""
    left, right, height, gap = 60, 640, 150, 70
    drawing = Drawing(
        760, 90 + len(timelines) * (height + gap), "A replica more, and one less, under load", _about(record)
    )
    most = ticks(max(moment.p95 for line in timelines.values() for moment in line))[-1]
    for number, (what, line) in enumerate(timelines.items()):
        top = 100 + number * (height + gap)
        first, last = line[0].at, line[-1].at
        _panel(drawing, (left, right, top, top + height), what, (first, last), most)
        for colour, values in (
            (_HIT, [moment.hit_rate for moment in line]),
            (_LATENCY, [moment.p95 / most for moment in line]),
        ):
            points = [
                (_across(moment.at, first, last, left, right), top + height * (1 - value))
                for moment, value in zip(line, values, strict=True)
            ]
            drawing.line(points, colour, width=2)
    for place, (name, colour) in enumerate((("hit rate", _HIT), ("p95, ms", _LATENCY))):
        drawing.line([(500 + 120 * place, 46), (528 + 120 * place, 46)], colour, width=2.5)
        drawing.text((534 + 120 * place, 50), name)
    return str(drawing)


def tiers_plot(record: Record) -> str:
    """Bars: part of the prompts that each tier answers, measured and simulated."""
    rows = [row for row in record.section("d").rows if "simulated" in row.numbers]
    left, right, top = 200, 640, 80
    drawing = Drawing(760, top + 80 * len(rows) + 30, record.section("d").title, _about(record))
    for number, row in enumerate(rows):
        y = top + 80 * number
        drawing.text((left - 14, y + 30), row.what, anchor="end", bold=True)
        for place, (name, colour) in enumerate((("measured", _HIT), ("simulated", _SIMULATED))):
            at, share = y + 25 * place, row.numbers[name]
            drawing.bar((left, at), (right - left) * share.value / 100, 20, colour)
            drawing.text((left + (right - left) * share.value / 100 + 6, at + 15), f"{share} {name}")
    return str(drawing)


def _panel(
    drawing: Drawing, box: tuple[float, float, float, float], what: str, span: tuple[float, float], most: float
) -> None:
    left, right, top, bottom = box
    drawing.text((left, top - 12), what, bold=True)
    for part in (0.0, 0.5, 1.0):
        y = bottom - (bottom - top) * part
        drawing.line([(left, y), (right, y)], GRID)
        drawing.text((left - 8, y + 4), f"{100 * part:.0f} %", anchor="end", colour=_HIT)
        drawing.text((right + 8, y + 4), f"{most * part:.0f}", colour=_LATENCY)
    for second in _seconds(*span):
        x = _across(second, *span, left, right)
        drawing.text((x, bottom + 18), f"{second:g} s", anchor="middle", colour=FAINT)
    now = _across(0, *span, left, right)
    drawing.line([(now, top), (now, bottom)], FAINT, dashed=True)


def _seconds(first: float, last: float) -> Sequence[int]:
    return [second for second in range(-60, 600, 10) if first <= second <= last]


def _across(value: float, first: float, last: float, left: float, right: float) -> float:
    return left + (right - left) * (value - first) / max(last - first, 1e-9)


def _about(record: Record) -> str:
    about = record.about
    return f"{about['processor']}, {about['cores']} cores · {about['date'][:10]}"
