"""The two plots people ask for: latency against the reference, throughput against processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import BLUE, FAINT, GREY, SKY, VERMILION, bars, svg, where
from bench.record import Record, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PINNED, _FREE = "pinned to cores", "free"


def plots(record: Record) -> dict[str, str]:
    """Both plots as SVG, by name."""
    return {"latency": latency_plot(record), "throughput": throughput_plot(record)}


def latency_plot(record: Record) -> str:
    """Bars: `SamPredictor.predict`, ours in process, ours over HTTP; medians, at each thread count."""
    over_http = [row for row in record.section("b").rows if row.what.startswith("HTTP")]
    predicts = [row for row in record.section("a").rows if row.what.startswith("predict")]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(over_http), sharex=True, squeeze=False)[:, 0]
        for axes, http, predict in zip(panels, over_http, predicts, strict=True):
            theirs = http.numbers["SamPredictor"].value
            ours, whole = predict.numbers["ours"].value, http.numbers["p50"].value
            axes.set_title(http.what.removeprefix("HTTP prompt, "))
            bars(
                axes,
                [
                    ("SamPredictor.predict (torch)", theirs, f"{theirs:.0f}", GREY),
                    ("ours, in process", ours, f"{ours:.0f} ({_times(predict)})", SKY),
                    ("ours, whole HTTP request", whole, f"{whole:.0f} ({_times(http)})", BLUE),
                ],
            )
        panels[-1].set_xlabel("median, ms")

    return svg("One prompt, three masks at 1800x1200", where(record), height=116 + 122 * len(over_http), draw=draw)


def throughput_plot(record: Record) -> str:
    """Lines: prompts per second by number of API processes, pinned to cores and left free."""
    series: dict[str, dict[int, float]] = {_PINNED: {}, _FREE: {}}
    for row in record.section("d").rows:
        name = _PINNED if row.what.endswith("pinned") else _FREE
        series[name][int(row.what.split()[0])] = row.numbers["rate"].value
    counts = list(series[_PINNED])
    one_on_one = series[_PINNED][counts[0]]
    ideal = [one_on_one * min(count, record.about["cores"]) for count in counts]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(range(len(counts)), ideal, color=FAINT, linestyle="--", label="one core's rate x cores")
        for name, colour, marker in ((_FREE, VERMILION, "s"), (_PINNED, BLUE, "o")):
            rates = series[name]
            places = [counts.index(count) for count in rates]
            axes.plot(places, list(rates.values()), color=colour, marker=marker, linewidth=2, label=name)
            for place, (count, rate) in zip(places, rates.items(), strict=True):
                above = rate == max(line[count] for line in series.values() if count in line)
                offset, side = ((0, 7), "bottom") if above else ((0, -7), "top")
                axes.annotate(
                    f"{rate:.0f}",
                    (place, rate),
                    offset,
                    textcoords="offset points",
                    ha="center",
                    va=side,
                    color=colour,
                    fontweight="bold",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_xlabel("API processes")
        axes.set_ylabel("prompts per second")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.1)
        axes.grid(axis="y")
        axes.legend(loc="lower right")

    subtitle = f"one point, three masks as RLE · {where(record)}"
    return svg("Prompts per second, by API processes", subtitle, height=384, draw=draw)


def _times(row: Row) -> str:
    """How many times faster than the reference measured beside it."""
    return f"{row.numbers['ratio'].value:.1f}x"
