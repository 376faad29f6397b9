"""The few shapes that the bench's plots are drawn with, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

INK, FAINT, GRID = "#1f2328", "#59636e", "#d8dee4"
_FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"

Point = tuple[float, float]


class Drawing:
    """Shapes on a white ground; coordinates in pixels, y down."""

    def __init__(self, width: float, height: float, title: str, subtitle: str) -> None:
        self._shapes = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
            f' height="{height:g}" font-family="{_FONT}" font-size="13" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
        ]
        self.text((20, 30), title, size=16, bold=True)
        self.text((20, 50), subtitle, colour=FAINT)

    def text(
        self,
        at: Point,
        text: str,
        *,
        anchor: str = "start",
        colour: str = INK,
        size: float = 13,
        bold: bool = False,
    ) -> None:
        """Text on the baseline `at`; `anchor` is start, middle or end."""
        weight = ' font-weight="600"' if bold else ""
        self._shapes.append(
            f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size:g}"'
            f"{weight}>{escape(text)}</text>"
        )

    def bar(self, at: Point, width: float, height: float, colour: str) -> None:
        self._shapes.append(
            f'<rect x="{at[0]:.1f}" y="{at[1]:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" rx="2"'
            f' fill="{colour}"/>'
        )

    def line(self, points: Sequence[Point], colour: str, *, width: float = 1, dashed: bool = False) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 5"' if dashed else ""
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'
        )

    def dot(self, at: Point, colour: str) -> None:
        self._shapes.append(f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="4.5" fill="{colour}"/>')

    def __str__(self) -> str:
        return "\n".join([*self._shapes, "</svg>", ""])


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to the first at or above `most`, four to nine of them."""
    magnitude = 10.0 ** math.floor(math.log10(most))
    step = next(part * magnitude for part in (1, 0.5, 0.2) if most / (part * magnitude) > 3)
    return [step * number for number in range(math.ceil(most / step) + 1)]
