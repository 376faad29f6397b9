"""A mask as a prompt of the contract."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def mask_prompt(mask: NDArray[Any]) -> dict[str, str]:
    """The `mask` of a prompt, as `{"png": …}`: `service.masks(image_id, [{"mask": mask_prompt(array)}])`.

    Args:
        mask: (H, W), of the size of the image. Pixels that are not 0 are inside.

    Raises:
        ValueError: it has another shape.
    """
    pixels = np.asarray(mask)
    if pixels.ndim != 2 or 0 in pixels.shape:
        raise ValueError(f"a mask has shape {pixels.shape}; expected (H, W)")
    file = io.BytesIO()
    Image.fromarray(pixels != 0).save(file, "PNG", compress_level=1)
    return {"png": base64.b64encode(file.getvalue()).decode("ascii")}
