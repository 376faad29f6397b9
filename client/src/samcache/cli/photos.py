"""The photo on which a mask is painted, as the service sees it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

_READERS: dict[bytes, Callable[[BytesIO], Image.Image]] = {
    b"\xff\xd8": JpegImageFile,
    b"\x89P": PngImageFile,
    b"RI": WebPImageFile,
}
"""Pillow's readers by the first two bytes of a file. `Image.open` would add its own limit on the size of a photo."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that turns a photo of each EXIF orientation upright."""


def upright_photo(data: bytes) -> Image.Image:
    """The RGB pixels of an image file: EXIF orientation applied, transparent pixels white.

    Raises:
        Exception: of any kind, if Pillow cannot read the file.
    """
    image = _READERS.get(data[:2], Image.open)(BytesIO(data))
    image.load()
    rgb = _rgb(image)
    exif = Image.Exif()
    with suppress(Exception):  # the service ignores EXIF that it cannot read
        # Not `ImageOps.exif_transpose`: it also looks for an orientation where the service does not, in XMP.
        exif.load(image.info.get("exif", b""))
    orientation = exif.get(ExifTags.Base.Orientation)
    return rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: `convert` would turn all but the darkest levels white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(rgba, mask=rgba)
    return white
