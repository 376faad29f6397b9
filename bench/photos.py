"""Real photos, at the sizes the bench asks for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.contract.geometry import Size

STANDARD: Size = (1200, 1800)
"""(height, width) of the photos that latencies are compared on."""

MEGAPIXELS: dict[str, Size] = {
    "0.3 MP": (447, 671),
    "2 MP": (1155, 1732),
    "12 MP": (2828, 4243),
    "50 MP": (5773, 8660),
}
"""Every size has sides of 3:2, so that the decoder has the same share of padding at each."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo: (H, W, 3) uint8 RGB."""

    name: str
    rgb: NDArray[np.uint8]

    @property
    def size(self) -> Size:
        height, width, _ = self.rgb.shape
        return height, width

    @cached_property
    def jpeg(self) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self.rgb).save(file, "JPEG", quality=85)
        return file.getvalue()

    def resized(self, size: Size) -> Photo:
        """The middle of the photo, scaled to (height, width)."""
        height, width = size
        fitted = ImageOps.fit(Image.fromarray(self.rgb), (width, height), Image.Resampling.BICUBIC)
        return Photo(f"{self.name} {width}x{height}", np.asarray(fitted))


def photos(own: Sequence[Path] = ()) -> list[Photo]:
    """The files in `own`, and photos from scikit-image. Each of those has another shape."""
    carried = [Photo(name, getattr(skimage.data, name)()) for name in ("coffee", "astronaut", "chelsea", "rocket")]
    upright = Photo("coffee, upright", np.ascontiguousarray(carried[0].rgb[:, 150:450]))
    return [*(_read(path) for path in own), *carried, upright]


def _read(path: Path) -> Photo:
    with Image.open(path) as image:
        return Photo(path.stem, np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
