"""An image as the split decoder keeps it: first its embedding, then its computed image side instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.two_way.folding import HEADS, INTERNAL, MASK_ROWS, WIDTH
from prompt_api.models.two_way.image_side import Feature, details_shapes
from prompt_api.models.two_way.network import Network
from shared.contract.geometry import Size

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class ImageSide:
    """What the prompt side needs of one image, with P places of the embedding.

    Attributes:
        placed: (2, 8, 16, P), the first two of `Feature`.
        plain: (9, 8, 16, P), the others.
        mask_products: (2, 17, P).
        norms: (3, P).
        upscaled: (P, 256).
        visible_upscaled: (rows * columns of the image's visible part, 256), a part of `upscaled`. It is a view if the
            visible part has the full width, otherwise a copy.
        details: `image_details`, by name; empty if the network has none.
    """

    placed: Floats
    plain: Floats
    mask_products: Floats
    norms: Floats
    upscaled: Floats
    visible_upscaled: Floats
    details: Tensors = field(default_factory=dict)

    def features(self) -> dict[str, Floats]:
        """The features, (8, 16, P) each, under their names as inputs of the prompt side."""
        return {feature.name.lower(): part for feature, part in zip(Feature, (*self.placed, *self.plain), strict=True)}


class OnnxImage:
    """One image; threads share it.

    Attributes:
        visible: rows and columns of the embedding that the image's own logits come from.
        nbytes: bytes of memory that it holds once its image side is computed. Before that it holds less.
    """

    def __init__(
        self, network: Network, tensors: Tensors, resized: Size, compute: Callable[[Tensors, Size], ImageSide]
    ) -> None:
        """Args:
        tensors: the image embedding by name, float32, kept until the image side is computed.
        resized: (height, width) of the image in the frame.
        compute: returns the image side of an embedding; takes the tensors and their visible part.
        """
        self.visible = _visible(network, resized)
        rows, columns = self.visible
        # `ImageSide.visible_upscaled` is a view if the visible part has the full width. Otherwise, it is a copy.
        cut = 0 if columns == network.grid else rows * columns * WIDTH
        features = len(Feature) * INTERNAL + 2 * MASK_ROWS + 3 + WIDTH
        details = sum(math.prod(shape) for shape in details_shapes(network).values())
        self.nbytes = np.dtype(np.float32).itemsize * (features * network.places + cut + details)
        self._tensors: Tensors | None = tensors
        self._compute = compute
        self._side: ImageSide | None = None
        self._prompted = False
        self._lock = Lock()

    def first_tensors(self) -> Tensors | None:
        """Return the image embedding for the first prompt on the image, and None for later prompts."""
        with self._lock:
            first = None if self._prompted else self._tensors
            self._prompted = True
            return first

    def side(self) -> ImageSide:
        """Return the image side. The first caller computes it, and the others wait for it."""
        side = self._side
        if side is None:
            with self._lock:
                side = self._side
                if side is None:
                    assert self._tensors is not None
                    side = self._side = self._compute(self._tensors, self.visible)
                    self._tensors = None
        return side


def image_side_of(network: Network, outputs: list[Floats], visible: Size) -> ImageSide:
    """Return the outputs of the image side's graph in the shapes that prompts need.

    Args:
        outputs: the graph's outputs, in the order of `build_image_side`.
    """
    placed, plain, mask_products, norms, upscaled, *details = outputs
    rows, columns = visible
    grid = np.ascontiguousarray(upscaled.reshape(network.grid, network.grid, WIDTH)[:rows, :columns])
    # This is reshaped here, because a reshape in the graph would copy 22 MB.
    placed, plain = (part.reshape(-1, HEADS, INTERNAL // HEADS, network.places) for part in (placed, plain))
    named = dict(zip(details_shapes(network), details, strict=True))
    return ImageSide(placed, plain, mask_products, norms, upscaled, grid.reshape(-1, WIDTH), named)


def _visible(network: Network, resized: Size) -> Size:
    """Return the rows and columns of the embedding whose upscaling shows in the image. The padding is left out.

    For the last pixel of a side, bilinear 256 -> 1024 reads the low-res sample at (side - 0.5) / 4 - 0.5 and the next.
    """
    grid = network.grid
    if not network.padded:
        return grid, grid
    height, width = (math.floor(max(side / 4 - 0.625, 0)) + 2 for side in resized)
    return min(grid, math.ceil(height / 4)), min(grid, math.ceil(width / 4))
