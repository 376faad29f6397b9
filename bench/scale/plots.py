"""Two plots: hit rate over time as replicas come and go, and the tiers that answer, measured and simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import BLUE, FAINT, GREY, VERMILION, bars, svg, where
from bench.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.scale.change import Timelines


def plots(record: Record, timelines: Timelines) -> dict[str, str]:
    """Both plots as SVG, by name."""
    return {"change": change_plot(record, timelines), "tiers": tiers_plot(record)}


def change_plot(record: Record, timelines: Timelines) -> str:
    """A column for each change: hit rate of the replicas' memory above p95 of the prompts, by seconds from it."""

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, len(timelines), sharex="col", sharey="row", squeeze=False)
        for rates, latencies, (what, line) in zip(above, below, timelines.items(), strict=True):
            seconds = [moment.at for moment in line]
            rates.set_title(what)
            rates.plot(seconds, [100 * moment.hit_rate for moment in line], color=BLUE)
            latencies.plot(seconds, [moment.p95 for moment in line], color=VERMILION)
            latencies.set_xlabel("seconds after the change")
            for axes in (rates, latencies):
                axes.axvline(0, color=FAINT, linestyle="--", linewidth=1)
                axes.margins(x=0)
                axes.grid(axis="y")
            rates.set_ylim(0, 102)
            latencies.set_ylim(bottom=0)
        above[0].set_ylabel("hit rate, %", color=BLUE)
        below[0].set_ylabel("p95, ms", color=VERMILION)

    return svg("A replica more, and one less, under load", where(record), height=470, draw=draw)


def tiers_plot(record: Record) -> str:
    """Bars: part of the prompts that each tier answers, measured and simulated."""
    section = record.section("d")
    rows = [row for row in section.rows if "simulated" in row.numbers]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(rows), sharex=True, squeeze=False)[:, 0]
        for axes, row in zip(panels, rows, strict=True):
            axes.set_title(row.what)
            sides = (("measured", BLUE), ("simulated", GREY))
            bars(
                axes,
                [(name, row.numbers[name].value, str(row.numbers[name]), colour) for name, colour in sides],
            )
            axes.set_xlim(0, 100)
        panels[-1].set_xlabel("% of the prompts")

    return svg(section.title, where(record), height=116 + 92 * len(rows), draw=draw)
