"""Uploaded bytes to RGB pixels: what may come in, its size without decoding, its pixels, its resized frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from shared.contract.errors import ImageTooLarge, InvalidImage
from shared.contract.geometry import Size
from shared.images.formats.structure import Structure, read_structure

# The plugins themselves, not `Image.open`: it also warns at 89 MP and turns a JPEG into an MPO.
_PLUGINS: dict[str, type[ImageFile]] = {"JPEG": JpegImageFile, "PNG": PngImageFile, "WEBP": WebPImageFile}

MAX_SIDE = 65_535
"""Pixels of the longest side, JPEG's own limit. What a mask costs grows with the sides as well as with the pixels."""

DECODE_SECONDS = 20.0
"""Processor time that decoding one image may take. The largest ordinary photo, 50 MP, needs 2 to 4."""

_BLOCK = 8192
"""Bytes given to a decoder at once, after which the clock is looked at: nothing stops a decoder in the middle."""

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an upload is.

    Attributes:
        format: `JPEG`, `PNG` or `WEBP`.
        original: (height, width) in pixels after the EXIF orientation: the frame of every coordinate.
    """

    format: str
    original: Size


def inspect_image(data: bytes, *, max_pixels: int) -> ImageInfo:
    """Format and oriented size of an upload, without decoding a pixel: a few milliseconds for 12 MP.

    Truncation is found where the container shows it; a file that passes can still fail to decode.

    Raises:
        UnsupportedImage: not a still JPEG, PNG or WEBP (GIF, TIFF, MPO, animations, text, …).
        InvalidImage: empty, broken, truncated or without pixels.
        ImageTooLarge: more than `max_pixels` pixels.
    """
    structure = _accepted(data, max_pixels)
    return ImageInfo(structure.format, structure.oriented)


def decode_image(data: bytes, *, max_pixels: int, clock: Callable[[], float] = time.thread_time) -> NDArray[np.uint8]:
    """Pixels of an upload as a viewer shows them. Colour profiles are ignored, as wherever SAM was trained and run.

    EXIF orientation is applied. Transparent pixels are composited over white, the page that people see
    them on. 16-bit samples keep their high byte, as Pillow and OpenCV do for colour. CMYK and YCCK
    (Adobe's inverted values included), grey and palette images become RGB.

    Args:
        clock: tells how long this thread has worked. A worker that was stopped for a while, or that shares its
            processor, does not make an image an invalid one.

    Returns:
        (H, W, 3) uint8 RGB, read-only, with (H, W) = `inspect_image(data).original`.

    Raises:
        UnsupportedImage, InvalidImage, ImageTooLarge: as `inspect_image`, and InvalidImage for any data
            that does not decode, or not within `DECODE_SECONDS`. Memory peaks at 10 (JPEG) to 20 (WEBP) bytes a pixel.
    """
    structure = _accepted(data, max_pixels)
    rgb = _decoded(data, structure, clock)
    if structure.orientation in _TRANSPOSE:
        rgb = rgb.transpose(_TRANSPOSE[structure.orientation])
    pixels: NDArray[np.uint8] = np.asarray(rgb)
    pixels.flags.writeable = False
    return pixels


def _accepted(data: bytes, max_pixels: int) -> Structure:
    structure = read_structure(data)
    height, width = structure.oriented
    if height * width > max_pixels:
        raise ImageTooLarge(
            f"the image has {width}x{height} pixels; at most {max_pixels} are accepted",
            width=width,
            height=height,
            max_pixels=max_pixels,
        )
    if max(height, width) > MAX_SIDE:
        raise ImageTooLarge(
            f"the image has {width}x{height} pixels; a side has at most {MAX_SIDE}",
            width=width,
            height=height,
            max_side=MAX_SIDE,
        )
    return structure


def _decoded(data: bytes, structure: Structure, clock: Callable[[], float]) -> Image.Image:
    """The stored pixels as RGB, before the EXIF orientation. The decoder is shown nothing but what decides them."""
    parts = structure.parts
    essential = _Clocked(b"".join(memoryview(data)[start:stop] for start, stop in parts.essential), clock)
    try:
        image = _PLUGINS[structure.format](essential)
        image.decodermaxblock = _BLOCK
        if image.size == parts.stored[::-1]:  # compared before `load` allocates
            image.load()
            return _to_rgb(image, parts.bit_depth)
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        raise InvalidImage(f"the {structure.format} cannot be decoded: {error}") from error
    raise InvalidImage(f"the {structure.format} contradicts itself about its size")


class _Clocked(BytesIO):
    """Bytes that can be read for `DECODE_SECONDS` and no longer."""

    def __init__(self, data: bytes, clock: Callable[[], float]) -> None:
        super().__init__(data)
        self._clock = clock
        self._end = clock() + DECODE_SECONDS

    def read(self, size: int | None = -1) -> bytes:
        if self._clock() > self._end:
            raise TimeoutError(f"it takes more than {DECODE_SECONDS:g} s")
        return super().read(size)


def _to_rgb(image: Image.Image, bit_depth: int) -> Image.Image:
    transparency = image.info.get("transparency")
    if image.mode.startswith("I"):  # 16-bit grey; `convert` would clip it to white
        samples = np.asarray(image)
        grey = (samples >> 8).astype(np.uint8)
        if transparency is not None:
            grey[samples == transparency] = 255
        return Image.fromarray(grey).convert("RGB")
    if transparency is not None and image.mode in ("1", "L", "RGB"):
        image.info["transparency"] = _eight_bit(transparency, bit_depth)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(rgba, mask=rgba)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(sample: int | tuple[int, ...], bit_depth: int) -> int | tuple[int, ...]:
    """A PNG's transparent colour at its own bit depth, on the 8-bit scale that the decoded pixels have."""
    if isinstance(sample, tuple):
        return tuple(value >> (bit_depth - 8) for value in sample)
    return sample * 255 // ((1 << bit_depth) - 1)
