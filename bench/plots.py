"""The two plots people ask for: latency against the reference, throughput against processes."""

from __future__ import annotations

from bench.record import Record, Row
from bench.svg import FAINT, GRID, Drawing, ticks

_THEIRS, _OURS, _HTTP = "#8c959f", "#54aeff", "#0969da"
_PINNED, _FREE = "pinned to cores", "free"
_COLOURS = {_FREE: "#bc4c00", _PINNED: "#0969da"}


def latency_plot(record: Record) -> str:
    """Bars: `SamPredictor.predict`, ours in process, ours over HTTP; medians, at each thread count."""
    groups: list[tuple[str, list[tuple[str, float, str, str]]]] = []
    over_http = [row for row in record.section("b").rows if row.what.startswith("HTTP")]
    predicts = [row for row in record.section("a").rows if row.what.startswith("predict")]
    for http, predict in zip(over_http, predicts, strict=True):
        bars = [
            ("SamPredictor.predict (torch)", http.numbers["SamPredictor"].value, "", _THEIRS),
            ("ours, in process", predict.numbers["ours"].value, _times(predict), _OURS),
            ("ours, whole HTTP request", http.numbers["p50"].value, _times(http), _HTTP),
        ]
        groups.append((http.what.removeprefix("HTTP prompt, "), bars))
    marks = ticks(max(value for _, bars in groups for _, value, _, _ in bars))
    left, right, top, height = 220, 690, 78, 108 * len(groups)
    drawing = Drawing(760, top + height + 44, "One prompt, three masks at 1800x1200", _about(record, "median, ms"))

    def x(value: float) -> float:
        return left + (right - left) * value / marks[-1]

    for mark in marks:
        drawing.line([(x(mark), top), (x(mark), top + height)], GRID)
        drawing.text((x(mark), top + height + 18), f"{mark:g}", anchor="middle", colour=FAINT)
    for number, (name, bars) in enumerate(groups):
        y = top + 108 * number
        drawing.text((20, y + 16), name, bold=True)
        for place, (label, value, times, colour) in enumerate(bars):
            at = y + 24 + 25 * place
            drawing.text((left - 10, at + 14), label, anchor="end", colour=FAINT)
            drawing.bar((left, at), x(value) - left, 19, colour)
            drawing.text((x(value) + 6, at + 14), f"{value:.0f}{times}", bold=True)
    return str(drawing)


def throughput_plot(record: Record) -> str:
    """Lines: prompts per second by number of API processes, pinned to cores and left free."""
    series: dict[str, list[tuple[int, float]]] = {_PINNED: [], _FREE: []}
    for row in record.section("d").rows:
        name = _PINNED if row.what.endswith("pinned") else _FREE
        series[name].append((int(row.what.split()[0]), row.numbers["rate"].value))
    counts = [count for count, _ in series[_PINNED]]
    one_on_one = series[_PINNED][0][1]
    ideal = [(count, one_on_one * min(count, record.about["cores"])) for count in counts]
    marks = ticks(max(rate for line in [*series.values(), ideal] for _, rate in line))
    left, right, top, bottom = 60, 560, 78, 330
    drawing = Drawing(760, 384, "Prompts per second, by API processes", _about(record, "one point, three masks as RLE"))

    def at(count: int, rate: float) -> tuple[float, float]:
        place = counts.index(count) / max(1, len(counts) - 1)
        return left + 40 + (right - left - 80) * place, bottom - (bottom - top) * rate / marks[-1]

    for mark in marks:
        y = at(counts[0], mark)[1]
        drawing.line([(left, y), (right, y)], GRID)
        drawing.text((left - 10, y + 4), f"{mark:g}", anchor="end", colour=FAINT)
    for count in counts:
        drawing.text((at(count, 0)[0], bottom + 20), str(count), anchor="middle", colour=FAINT)
    drawing.text(((left + right) / 2, bottom + 42), "API processes", anchor="middle", colour=FAINT)
    lines = [("one core's rate x cores", ideal, FAINT)]
    lines += [(name, series[name], colour) for name, colour in _COLOURS.items() if series[name]]
    for place, (name, line, colour) in enumerate(lines):
        dashed = colour == FAINT
        drawing.line([at(*point) for point in line], colour, width=1.5 if dashed else 2.5, dashed=dashed)
        for point in () if dashed else line:
            drawing.dot(at(*point), colour)
        legend = top + 14 + 22 * place
        drawing.line([(right + 14, legend - 4), (right + 42, legend - 4)], colour, width=2.5, dashed=dashed)
        drawing.text((right + 50, legend), name)
    for count, rate in series[_PINNED]:
        x, y = at(count, rate)
        drawing.text((x, y + 22), f"{rate:.0f}", anchor="middle", colour=_COLOURS[_PINNED], bold=True)
    return str(drawing)


def _times(row: Row) -> str:
    """How many times faster than the reference measured beside it."""
    return f"  ({row.numbers['ratio'].value:.1f}x)"


def _about(record: Record, what: str) -> str:
    about = record.about
    return f"{what} · {about['processor']}, {about['cores']} cores · {about['date'][:10]}"
