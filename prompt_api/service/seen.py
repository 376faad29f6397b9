"""What the low-res logits of an answer show of an object: its box, and whether its region cuts it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.interface import DecodedMasks
from prompt_api.service.lattice import Box
from shared.contract.frames import Frame
from shared.contract.geometry import Size
from shared.contract.region import Region

Floats = NDArray[np.float32]


def best_of(answer: DecodedMasks) -> int:
    """Return the index of the mask with the best score."""
    return int(np.argmax(answer.scores))


def box_of(logits: Floats, frame: Frame, size: Size, corner: tuple[int, int] = (0, 0)) -> Box | None:
    """Return the box of the positive logits in pixels of the original, or None if there are none.

    Args:
        logits: (S, S) over the frame.
        frame: that of the model.
        size: (height, width) of what was encoded.
        corner: (x, y) of its upper left corner in the original.
    """
    rows, columns = _visible(logits, frame, size)
    positive = logits[:rows, :columns] > 0
    x, y = np.flatnonzero(positive.any(axis=0)), np.flatnonzero(positive.any(axis=1))
    if not x.size:
        return None
    inside = frame.inside(size)
    step = frame.side / logits.shape[0]
    across, down = step * size[1] / inside[1], step * size[0] / inside[0]
    return (
        corner[0] + float(x[0]) * across,
        corner[1] + float(y[0]) * down,
        corner[0] + min(float(x[-1] + 1) * across, float(size[1])),
        corner[1] + min(float(y[-1] + 1) * down, float(size[0])),
    )


def is_cut(logits: Floats, frame: Frame, region: Region, original: Size) -> bool:
    """Return whether the mask reaches an edge of the region that is not an edge of the image.

    Args:
        logits: (S, S) over the frame, which holds the region.
        original: (height, width) of the image.
    """
    rows, columns = _visible(logits, frame, region.size)
    height, width = original
    return bool(
        (region.x0 > 0 and (logits[:rows, 0] > 0).any())
        or (region.y0 > 0 and (logits[0, :columns] > 0).any())
        or (region.x1 < width and (logits[:rows, columns - 1] > 0).any())
        or (region.y1 < height and (logits[rows - 1, :columns] > 0).any())
    )


def _visible(logits: Floats, frame: Frame, size: Size) -> tuple[int, int]:
    """Return how many rows and columns of the logits show a part of what was encoded, at least in part."""
    step = frame.side // logits.shape[0]
    height, width = frame.inside(size)
    return -(-height // step), -(-width // step)
