"""What all plots of the bench have in common: a heading, quiet axes, and SVG that is the same each time it is drawn.

matplotlib is imported when a plot is drawn, so that no measurement shares its process with it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAINT, GRID = "#59636e", "#d8dee4"
GREY, SKY, BLUE, VERMILION = "#8c959f", "#56b4e9", "#0072b2", "#d55e00"
"""Colours that people with any kind of colour vision can tell apart; the last three are of Okabe and Ito's palette."""

WIDTH = 760
"""Pixels, of every plot."""

_HEADING = 68  # pixels
_PIXELS_PER_INCH = 96  # of CSS
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sam-embedding-cache",  # names inside the file are the same each time
    "font.size": 9.5,
    "axes.edgecolor": GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": FAINT,
    "grid.color": GRID,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "legend.frameon": False,
}


def svg(title: str, subtitle: str, *, height: int, draw: Callable[[Figure], None]) -> str:
    """A plot as SVG.

    Args:
        height: pixels.
        draw: fills the figure below its heading.
    """
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(_STYLE):
        figure = Figure((WIDTH / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH), layout="constrained")
        figure.get_layout_engine().set(rect=(0.02, 0.01, 0.96, 0.99 - _HEADING / height), hspace=0.06)
        figure.text(0.02, 1 - 30 / height, title, fontsize=12, fontweight="bold")
        figure.text(0.02, 1 - 50 / height, subtitle, color=FAINT)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Title": title, "Date": None, "Creator": None})
    return file.getvalue()


def where(record: Record) -> str:
    """Machine and day of a run."""
    about = record.about
    return f"{about['processor']}, {about['cores']} cores · {about['date'][:10]}"


def bars(axes: Axes, values: list[tuple[str, float, str, str]]) -> None:
    """Horizontal bars, the first on top.

    Args:
        values: each bar's name, length, text at its end and colour.
    """
    names, lengths, texts, colours = zip(*values, strict=True)
    drawn = axes.barh(range(len(names)), lengths, color=colours)
    axes.bar_label(drawn, texts, padding=6, fontweight="bold")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.grid(axis="x")
    axes.spines["bottom"].set_visible(False)
