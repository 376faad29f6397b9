"""Turn uploaded bytes into RGB pixels: check the limits, find the size without decoding, and decode."""

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
from shared.contract.geometry import MAX_SIDE, Size
from shared.images.formats.structure import Structure, read_structure

# The plugins are called directly, because `Image.open` warns at 89 MP and may turn a JPEG into an MPO.
_PLUGINS: dict[str, type[ImageFile]] = {"JPEG": JpegImageFile, "PNG": PngImageFile, "WEBP": WebPImageFile}

DECODE_SECONDS = 20.0
"""Seconds of CPU time that decoding one image may take. The largest ordinary photo, 50 MP, needs 2 to 4."""

_BYTES_PER_PIXEL = {"JPEG": 12, "PNG": 12, "WEBP": 22}
"""Most bytes of memory per pixel that decoding takes, resizing included. Measured with Pillow 13 on images of 50 MP of
every kind (progressive, CMYK, with transparency, 16 bit, lossless). The least was 10."""

_BLOCK = 8192
"""Bytes given to a decoder at once. The clock is read before each block: a decoder cannot be stopped inside one."""

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that undoes each EXIF orientation."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Format and size of an upload.

    Attributes:
        format: `JPEG`, `PNG` or `WEBP`.
        original: (height, width) in pixels after the EXIF orientation. All coordinates refer to this size.
    """

    format: str
    original: Size


def inspect_image(data: bytes, *, max_pixels: int) -> ImageInfo:
    """Return format and oriented size of an upload without decoding pixels. It takes a few milliseconds for 12 MP.

    Truncation is found if the container shows it. A file that passes can still fail to decode.

    Raises:
        UnsupportedImage: the upload is not a still JPEG, PNG or WEBP (GIF, TIFF, MPO, animations, text, …).
        InvalidImage: the upload is empty, broken, truncated or has no pixels.
        ImageTooLarge: the image has more than `max_pixels` pixels, or a side longer than `MAX_SIDE`.
    """
    structure = _accepted(data, max_pixels)
    return ImageInfo(structure.format, structure.oriented)


def decode_image(data: bytes, *, max_pixels: int, clock: Callable[[], float] = time.thread_time) -> NDArray[np.uint8]:
    """Decode an upload to the pixels that a viewer shows.

    The EXIF orientation is applied. Colour profiles are ignored, as in SAM's training and inference. Transparent
    pixels are composited over white, the usual colour of the page behind them. 16-bit samples keep their high byte, as
    in Pillow and OpenCV for colour images. CMYK and YCCK (also with Adobe's inverted values), grey and palette images
    become RGB. `decoding_bytes` says how much memory it takes at most.

    Args:
        clock: returns the CPU time of this thread in seconds. With it, an image does not count as invalid because the
            worker was paused or shares its CPU.

    Returns:
        (H, W, 3) uint8 RGB, read-only, with (H, W) = `inspect_image(data).original`.

    Raises:
        UnsupportedImage, InvalidImage, ImageTooLarge: as in `inspect_image`. InvalidImage is also raised for data that
            cannot be decoded, or not within `DECODE_SECONDS`.
        MemoryError: this process has too little memory for the image. That says nothing about the image.
    """
    structure = _accepted(data, max_pixels)
    rgb = _decoded(data, structure, clock)
    if structure.orientation in _TRANSPOSE:
        rgb = rgb.transpose(_TRANSPOSE[structure.orientation])
    pixels: NDArray[np.uint8] = np.asarray(rgb)
    pixels.flags.writeable = False
    return pixels


def decoding_bytes(data: bytes) -> int:
    """Return the most bytes of memory that decoding and resizing an upload takes, beside the upload itself.

    Raises:
        UnsupportedImage, InvalidImage: as in `inspect_image`.
    """
    structure = read_structure(data)
    height, width = structure.oriented
    return _BYTES_PER_PIXEL[structure.format] * height * width + len(data)


def most_decoding_bytes(max_pixels: int, max_bytes: int) -> int:
    """Return the most that `decoding_bytes` returns for uploads within both limits."""
    return max(_BYTES_PER_PIXEL.values()) * max_pixels + max_bytes


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
    """Return the stored pixels as RGB, before the EXIF orientation. The decoder gets only the essential bytes."""
    parts = structure.parts
    essential = _Clocked(b"".join(memoryview(data)[start:stop] for start, stop in parts.essential), clock)
    try:
        image = _PLUGINS[structure.format](essential)
        image.decodermaxblock = _BLOCK
        if image.size == parts.stored[::-1]:  # compared before `load` allocates
            image.load()
            return _to_rgb(image, parts.bit_depth)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        if not _has_memory_for(parts.stored):
            raise MemoryError(f"there is too little memory to decode a {structure.format}") from error
        raise InvalidImage(f"the {structure.format} cannot be decoded: {error}") from error
    raise InvalidImage(f"the {structure.format} contradicts itself about its size")


def _has_memory_for(size: Size) -> bool:
    """Return whether this process can have the memory that decoding takes.

    Pillow's decoders report a lack of memory as they report a broken file.
    """
    try:
        np.empty(max(_BYTES_PER_PIXEL.values()) * size[0] * size[1], np.uint8)  # reserves memory and does not touch it
    except MemoryError:
        return False
    return True


class _Clocked(BytesIO):
    """Bytes that can be read only for `DECODE_SECONDS` of the clock's time."""

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
    """Convert a PNG's transparent colour from its own bit depth to the 8-bit scale of the decoded pixels."""
    if isinstance(sample, tuple):
        return tuple(value >> (bit_depth - 8) for value in sample)
    return sample * 255 // ((1 << bit_depth) - 1)
