"""Reads a mask from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samcache.cli.files import UnreadableFile


def read_mask(path: Path) -> NDArray[np.bool_]:
    """The mask in an image file, (H, W): pixels that are neither black nor transparent are inside.

    In a file with a palette, all but the first colour are inside, as annotation tools write them.

    Raises:
        UnreadableFile: it is no image.
    """
    try:
        with Image.open(path) as image:
            pixels: NDArray[Any] = np.asarray(image)
            if image.mode in ("LA", "RGBA", "PA"):
                return np.asarray((pixels[..., -1] != 0) & (pixels[..., :-1] != 0).any(axis=-1))
            return np.asarray(pixels != 0 if pixels.ndim == 2 else (pixels != 0).any(axis=-1))
    except Exception as error:  # Pillow's readers raise errors of many kinds
        raise UnreadableFile(f"{path} is no mask: {error}") from error
