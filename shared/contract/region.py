"""Regions: rectangles of an image that are encoded like an image of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.contract.errors import InvalidParameter
from shared.contract.geometry import MAX_SIDE, Size

LEAST_SIDE = 16
"""Shortest side of a region, in pixels."""

Corners = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in whole pixels, which nobody has checked yet."""

_TEXT = re.compile(r"(0|[1-9][0-9]{0,4})-(0|[1-9][0-9]{0,4})-([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")
_PARAMETER = re.compile(r"([0-9]{1,9}),([0-9]{1,9}),([0-9]{1,9}),([0-9]{1,9})")


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A rectangle of an image: the pixels (x, y) with x0 <= x < x1 and y0 <= y < y1.

    It is never the whole image: a key without a region means that. `region_in` makes a region of an image and checks
    it. The constructor checks only what needs no image.

    Attributes:
        x0, y0: the first column and row, in pixels of the EXIF-oriented original.
        x1, y1: the column and row after the last.

    Raises:
        InvalidParameter: a corner is negative or beyond the largest image, or a side has fewer than `LEAST_SIDE`
            pixels.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if not (0 <= self.x0 < self.x1 <= MAX_SIDE and 0 <= self.y0 < self.y1 <= MAX_SIDE):
            raise InvalidParameter(f"region {_listed(self.corners)}: x0 < x1 and y0 < y1, all inside the image")
        if self.x1 - self.x0 < LEAST_SIDE or self.y1 - self.y0 < LEAST_SIDE:
            raise InvalidParameter(f"region {_listed(self.corners)}: each side has at least {LEAST_SIDE} pixels")

    @property
    def corners(self) -> Corners:
        return self.x0, self.y0, self.x1, self.y1

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def text(self) -> str:
        """The form in keys, job ids and messages, `x0-y0-x1-y1`. `Region.read` reads it."""
        return f"{self.x0}-{self.y0}-{self.x1}-{self.y1}"

    @classmethod
    def read(cls, text: object) -> Region:
        """Return the region that `text` names.

        Raises:
            ValueError: no region has this text. Each region has exactly one text.
        """
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError("not a region")
        x0, y0, x1, y1 = map(int, found.groups())
        try:
            return cls(x0, y0, x1, y1)
        except InvalidParameter as error:
            raise ValueError("not a region") from error

    def lies_in(self, original: Size) -> bool:
        """Return whether the region is a part of an image of this (height, width), and not all of it."""
        height, width = original
        return self.x1 <= width and self.y1 <= height and self.size != original


def region_in(corners: Corners, original: Size) -> Region | None:
    """Return the region with these corners, or None if they are the whole image.

    Args:
        corners: (x0, y0, x1, y1), half-open.
        original: (height, width) of the EXIF-oriented original.

    Raises:
        InvalidParameter: the rectangle is empty, reaches out of the image, or is too small.
    """
    height, width = original
    if corners == (0, 0, width, height):
        return None
    x0, y0, x1, y1 = corners
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InvalidParameter(
            f"region {_listed(corners)}: x0 < x1 and y0 < y1, all inside the {width}x{height} image",
            width=width,
            height=height,
        )
    return Region(x0, y0, x1, y1)


def parse_region(text: str) -> Corners:
    """Return the corners that `?region=` names, as `x0,y0,x1,y1`.

    Raises:
        InvalidParameter: these are not four whole numbers.
    """
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise InvalidParameter(f"region={text!r} must be four whole numbers of pixels: x0,y0,x1,y1")
    x0, y0, x1, y1 = map(int, found.groups())
    return x0, y0, x1, y1


def _listed(corners: Corners) -> str:
    return "[{}, {}, {}, {}]".format(*corners)
