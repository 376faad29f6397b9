"""The photo on which a mask is painted, as the service sees it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

_READERS: dict[bytes, Callable[[BytesIO], Image.Image]] = {
    b"\xff\xd8": JpegImageFile,
    b"\x89P": PngImageFile,
    b"RI": WebPImageFile,
    b"II": TiffImageFile,
    b"MM": TiffImageFile,
    b"BM": BmpImageFile,
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
    image = _reader(data)(BytesIO(_mended(data) if data.startswith(b"\xff\xd8") else data))
    image.load()
    rgb = _rgb(image)
    exif = Image.Exif()
    with suppress(Exception):  # the service ignores EXIF that it cannot read
        # Not `ImageOps.exif_transpose`: it also looks for an orientation where the service does not, in XMP.
        exif.load(image.info.get("exif", b""))
    orientation = exif.get(ExifTags.Base.Orientation)
    return rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb


def _mended(jpeg: bytes) -> bytes:
    """Return a JPEG without bytes between its first segments, and with an end marker: Pillow insists on both."""
    parts, end = [jpeg[:2]], 2
    while (marker := _MARKER.search(jpeg, end)) is not None:
        (length,) = struct.unpack_from(">H", jpeg, marker.end())
        end = marker.end() + length
        parts.append(jpeg[marker.end() - 2 : end])
        if parts[-1].startswith(_START_OF_SCAN):
            break
    return b"".join([*parts, jpeg[end:], b"\xff\xd9"])


_MARKER = re.compile(rb"\xff[^\x00\xff]")
_START_OF_SCAN = b"\xff\xda"


def _reader(data: bytes) -> Callable[[BytesIO], Image.Image]:
    if data[4:8] != b"ftyp":
        return _READERS.get(data[:2], Image.open)
    if b"avif" in data[8:64]:
        return AvifImageFile
    from pillow_heif import HeifImageFile  # noqa: PLC0415 - the extra `heic`

    reader: Callable[[BytesIO], Image.Image] = HeifImageFile
    return reader


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":  # more than 8 bits: `convert` would turn all but the darkest levels white
        return Image.fromarray(_stretched(np.asarray(image))).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(rgba, mask=rgba)
    return white


def _stretched(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """The samples with the least at 0 and the greatest at 255, as the service shows them to its encoder."""
    seen = samples[np.isfinite(samples)]
    if not seen.size or seen.min() == seen.max():
        return np.zeros(samples.shape, np.uint8)
    least, greatest = float(seen.min()), float(seen.max())
    values = (np.clip(samples.astype(np.float64), least, greatest) - least) * (255 / (greatest - least)) + 0.5
    return np.nan_to_num(values, copy=False).astype(np.uint8)
