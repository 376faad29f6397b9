"""An image as the split decoder keeps it: first its embedding, then its computed image side instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.sam1.folding import HEADS, INTERNAL, MASK_ROWS, WIDTH
from prompt_api.models.sam1.image_side import PLACES, Feature
from prompt_api.models.sam1.prompt_tokens import GRID
from shared.contract.geometry import Size

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ImageSide:
    """What the prompt side needs of one image, with P = 4096 places of the embedding.

    Attributes:
        placed: (2, 8, 16, P), the first two of `Feature`.
        plain: (9, 8, 16, P), the others.
        mask_products: (2, 17, P).
        norms: (3, P).
        upscaled: (P, 256).
        visible_upscaled: (rows * columns of the image's visible part, 256), a part of `upscaled`. It is a view if the
            visible part has the full width, otherwise a copy.
    """

    placed: Floats
    plain: Floats
    mask_products: Floats
    norms: Floats
    upscaled: Floats
    visible_upscaled: Floats

    def features(self) -> dict[str, Floats]:
        """The features, (8, 16, P) each, under their names as inputs of the prompt side."""
        return {feature.name.lower(): part for feature, part in zip(Feature, (*self.placed, *self.plain), strict=True)}


class OnnxImage:
    """One image; threads share it.

    Attributes:
        visible: rows and columns of the embedding that the image's own logits come from.
        nbytes: bytes of memory that it holds once its image side is computed. Before that it holds less.
    """

    def __init__(self, embedding: Floats, resized: Size, compute: Callable[[Floats, Size], ImageSide]) -> None:
        """Args:
        embedding: (1, 256, 64, 64) float32, kept until the image side is computed.
        resized: (height, width) of the image in the 1024 frame.
        compute: returns the image side of an embedding; takes the embedding and its visible part.
        """
        self.visible = _visible(resized)
        rows, columns = self.visible
        # `ImageSide.visible_upscaled` is a view if the visible part has the full width. Otherwise, it is a copy.
        cut = 0 if columns == GRID else rows * columns * WIDTH
        features = len(Feature) * INTERNAL + 2 * MASK_ROWS + 3 + WIDTH
        self.nbytes = np.dtype(np.float32).itemsize * (features * PLACES + cut)
        self._embedding: Floats | None = embedding
        self._compute = compute
        self._side: ImageSide | None = None
        self._prompted = False
        self._lock = Lock()

    def first_embedding(self) -> Floats | None:
        """Return the embedding for the first prompt on the image, and None for later prompts."""
        with self._lock:
            first = None if self._prompted else self._embedding
            self._prompted = True
            return first

    def side(self) -> ImageSide:
        """Return the image side. The first caller computes it, and the others wait for it."""
        side = self._side
        if side is None:
            with self._lock:
                side = self._side
                if side is None:
                    assert self._embedding is not None
                    side = self._side = self._compute(self._embedding, self.visible)
                    self._embedding = None
        return side


def image_side_of(outputs: list[Floats], visible: Size) -> ImageSide:
    """Return the outputs of the image side's graph in the shapes that prompts need.

    Args:
        outputs: the graph's outputs, in the order of `ImageSide`.
    """
    placed, plain, mask_products, norms, upscaled = outputs
    rows, columns = visible
    grid = np.ascontiguousarray(upscaled.reshape(GRID, GRID, WIDTH)[:rows, :columns])
    # This is reshaped here, because a reshape in the graph would copy 22 MB.
    placed, plain = (part.reshape(-1, HEADS, INTERNAL // HEADS, PLACES) for part in (placed, plain))
    return ImageSide(placed, plain, mask_products, norms, upscaled, grid.reshape(-1, WIDTH))


def _visible(resized: Size) -> Size:
    """Return the rows and columns of the embedding whose upscaling shows in the image. The padding is left out.

    For the last pixel of a side, bilinear 256 -> 1024 reads the low-res sample at (side - 0.5) / 4 - 0.5 and the next.
    """
    height, width = (math.floor(max(side / 4 - 0.625, 0)) + 2 for side in resized)
    return min(GRID, math.ceil(height / 4)), min(GRID, math.ceil(width / 4))
