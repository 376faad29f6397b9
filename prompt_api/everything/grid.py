"""Where the points are, and which crops there are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from prompt_api.everything.interface import CropBox
from prompt_api.everything.options import EverythingOptions
from shared.contract.geometry import Size


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the image that gets a grid of points of its own.

    Attributes:
        box: where it is.
        points_per_side: of its grid.
    """

    box: CropBox
    points_per_side: int

    @property
    def size(self) -> Size:
        """(height, width)."""
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0

    def points(self) -> NDArray[np.float64]:
        """Return the points (N, 2) as (x, y) in pixels of the crop, row by row."""
        height, width = self.size
        return np.asarray(point_grid(self.points_per_side) * np.array([width, height]))


def crops(options: EverythingOptions, size: Size) -> list[Crop]:
    """Return the whole image, then the crops of each layer, column by column.

    Args:
        size: (height, width) of the image.
    """
    return [Crop(box, options.points_of_layer(layer)) for box, layer in _boxes(options, size)]


def crop_boxes(options: EverythingOptions, size: Size) -> list[CropBox]:
    """Return the boxes whose embeddings the job needs, in the order in which it needs them. The first is the whole."""
    return [crop.box for crop in crops(options, size)]


def point_grid(per_side: int) -> NDArray[np.float64]:
    """Return the centres (N, 2) of the cells of a grid over the unit square, as (x, y), row by row.

    Source: segment_anything.utils.amg.build_point_grid.
    """
    offset = 1 / (2 * per_side)
    along = np.linspace(offset, 1 - offset, per_side)
    return np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)


def _boxes(options: EverythingOptions, size: Size) -> Iterator[tuple[CropBox, int]]:
    """Yield each crop with its layer. A crop that would lie outside a tiny image is left out.

    Source: segment_anything.utils.amg.generate_crop_boxes.
    """
    height, width = size
    yield (0, 0, width, height), 0
    for layer in range(1, options.crop_n_layers + 1):
        per_side = 2**layer
        overlap = int(options.crop_overlap_ratio * min(height, width) * (2 / per_side))
        wide, high = (math.ceil((overlap * (per_side - 1) + side) / per_side) for side in (width, height))
        lefts, tops = ([(length - overlap) * index for index in range(per_side)] for length in (wide, high))
        for x0, y0 in product(lefts, tops):
            if x0 < width and y0 < height:
                yield (x0, y0, min(x0 + wide, width), min(y0 + high, height)), layer
