"""Turn uploaded bytes into RGB pixels: check the limits, find the size without decoding, and decode."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, features
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from shared.contract.errors import ImageTooLarge, InvalidImage, RequestError, UnsupportedImage
from shared.contract.geometry import MAX_SIDE, Size
from shared.images.deep import picture_of
from shared.images.formats.jpeg import END_MARKER
from shared.images.formats.parts import Parts
from shared.images.formats.structure import Structure, read_structure
from shared.images.formats.tiff import MOST_PIECE, MOST_PIECE_PER_PIXEL
from shared.images.stretching import stretched

# The plugins are called directly, because `Image.open` warns at 89 MP and may turn a JPEG into an MPO.
_PLUGINS: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
"""Pillow's readers by the name in `PICTURE_FORMATS`. That of HEIC comes with the extra `heic`."""

# Threads of a library's own would take time that the clock of this thread does not show, and memory for each core.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

DECODE_SECONDS = 20.0
"""Seconds of CPU time that decoding one image may take. The largest ordinary photo, 50 MP, needs 2 to 4."""

_BYTES_PER_PIXEL = {"JPEG": 12, "PNG": 12, "WEBP": 22, "TIFF": 16, "BMP": 12, "AVIF": 22, "HEIC": 22}
"""Most bytes of memory per pixel that decoding takes, resizing included. Measured with Pillow 13 and pillow-heif 1.8 on
images of 4 to 50 MP of every kind (progressive, CMYK, with transparency, 10 to 16 bit, lossless). The least was 10.
`tests/unit/test_decoding_memory.py` measures again."""
_MORE_FOR_STRETCHING, _MORE_FOR_CHECKING = 4, 6
"""Bytes per pixel on top: to stretch samples, and to check a JPEG that has no end marker."""

_ROWS_BYTES = 1 << 25
"""Bytes for the rows of a TIFF that are stretched at once."""

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
        format: a name of `PICTURE_FORMATS`.
        original: (height, width) in pixels after the EXIF orientation. All coordinates refer to this size.
    """

    format: str
    original: Size


def inspect_image(data: bytes, *, max_pixels: int) -> ImageInfo:
    """Return format and oriented size of an upload without decoding pixels. It takes a few milliseconds for 12 MP.

    Truncation is found if the container shows it. A file that passes can still fail to decode.

    Raises:
        UnsupportedImage: the upload has none of `PICTURE_FORMATS`, or is an animation (GIF, text, …).
        InvalidImage: the upload is empty, broken, truncated or has no pixels.
        ImageTooLarge: the image has more than `max_pixels` pixels, or a side longer than `MAX_SIDE`.
    """
    structure = _accepted(data, max_pixels)
    return ImageInfo(structure.format, structure.oriented)


def decode_image(data: bytes, *, max_pixels: int, clock: Callable[[], float] = time.thread_time) -> NDArray[np.uint8]:
    """Decode an upload to the pixels that a viewer shows.

    The EXIF orientation is applied. Colour profiles are ignored, as in SAM's training and inference. Transparent
    pixels are composited over white, the usual colour of the page behind them. 16-bit grey, and TIFF of more than 8
    bits or of floats, is stretched from its least to its greatest value, each channel by itself: such files often use a
    small part of their range. Other 16-bit samples keep their high byte, as in Pillow and OpenCV. CMYK and YCCK (also
    with Adobe's inverted values), grey and palette images become RGB. If there are several pages or pictures, the first
    is taken, or the one that the file calls its primary. `decoding_bytes` says how much memory it takes at most.

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
    pixels: NDArray[np.uint8] = np.asarray(decode_picture(data, max_pixels=max_pixels, clock=clock))
    pixels.flags.writeable = False
    return pixels


def decode_picture(data: bytes, *, max_pixels: int, clock: Callable[[], float] = time.thread_time) -> Image.Image:
    """Return what `decode_image` returns as Pillow's picture of mode RGB, which Pillow resizes without a copy.

    Raises:
        UnsupportedImage, InvalidImage, ImageTooLarge, MemoryError: as in `decode_image`.
    """
    structure = _accepted(data, max_pixels)
    rgb = _decoded(data, structure, clock)
    return rgb.transpose(_TRANSPOSE[structure.orientation]) if structure.orientation in _TRANSPOSE else rgb


def decoding_bytes(data: bytes) -> int:
    """Return the most bytes of memory that decoding and resizing an upload takes, beside the upload itself.

    Raises:
        UnsupportedImage, InvalidImage: as in `inspect_image`.
    """
    return _decoding_bytes(read_structure(data)) + len(data)


def most_decoding_bytes(max_pixels: int, max_bytes: int) -> int:
    """Return the most that `decoding_bytes` returns for uploads within both limits."""
    pieces = max(MOST_PIECE, MOST_PIECE_PER_PIXEL * max_pixels)
    return max(max(_BYTES_PER_PIXEL.values()) * max_pixels, _unpacking_bytes(max_pixels, pieces)) + max_bytes


def _decoding_bytes(structure: Structure) -> int:
    height, width = structure.oriented
    parts = structure.parts
    per_pixel = _BYTES_PER_PIXEL[structure.format]
    if not parts.ended:
        per_pixel += _MORE_FOR_CHECKING
    elif parts.stretched:
        per_pixel += _MORE_FOR_STRETCHING
    return max(per_pixel * height * width, _unpacking_bytes(height * width, parts.piece_bytes))


def _unpacking_bytes(pixels: int, piece: int) -> int:
    """Return the most memory while a TIFF is unpacked: the picture so far, one piece in two forms, some rows."""
    return 4 * pixels + 2 * piece + _ROWS_BYTES if piece else 0


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
    parts, name = structure.parts, structure.format
    try:
        plugin = _plugin(name)
        deadline = clock() + DECODE_SECONDS

        def load(file: bytes, size: tuple[int, int] = parts.stored[::-1]) -> ImageFile:
            return _loaded(plugin, _Clocked(file, clock, deadline), size)

        if parts.bands is not None:
            return _over_white(picture_of(parts.bands, data, load))
        image = load(_file(data, parts, parts.tail))
        if not parts.ended:
            _check_whole(image, data, parts, lambda file: _Clocked(file, clock, deadline))
        return _to_rgb(image, parts)
    except (RequestError, MemoryError):
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, …
        if not _has_memory_for(structure):
            raise MemoryError(f"there is too little memory to decode a {name}") from error
        raise InvalidImage(f"the {name} cannot be decoded: {error}") from error


def _plugin(name: str) -> type[ImageFile]:
    if name == "AVIF" and not features.check("avif"):
        raise UnsupportedImage("this service's worker cannot read AVIF: its Pillow was built without it")
    if name != "HEIC":
        return _PLUGINS[name]
    for name_of_module in _HEIC_MODULES:
        with suppress(ImportError):  # an extra, which only workers need
            module = import_module(name_of_module)
            module.options.DECODE_THREADS = 1
            plugin: type[ImageFile] = module.HeifImageFile
            return plugin
    raise UnsupportedImage("this service's worker cannot read HEIC: it runs without the extra `heic`")


_HEIC_MODULES = ("pillow_heif", "pi_heif")
"""The second is the same reader, built without the GPL encoder that the wheels of the first bring."""


def _file(data: bytes, parts: Parts, tail: bytes) -> bytes:
    view = memoryview(data)
    return b"".join([parts.head, *(view[start:stop] for start, stop in parts.essential), tail])


def _loaded(plugin: type[ImageFile], file: _Clocked, size: tuple[int, int]) -> ImageFile:
    """Return the decoded image, whose (width, height) must be `size`."""
    image = plugin(file)
    image.decodermaxblock = _BLOCK
    if image.size != size:  # compared before `load` allocates
        raise InvalidImage(f"the {image.format} contradicts itself about its size")
    if image.format == "TIFF":  # the plugin would take memory itself, but only up to a limit of Pillow's own
        image.im = Image.new(image.mode, size).im
    image.load()
    if image.size != size:  # some plugins learn the size only while they decode
        raise InvalidImage(f"the {image.format} contradicts itself about its size")
    return image


_JUNK = (0xFE, 0xAA, 0x55)
"""Bytes to put in the place of missing data, one after the other. Each begins with two other bits than the others.

libjpeg itself puts zeros there, which begin with two other bits again.
"""
_READ_AHEAD = 8
"""Bytes that libjpeg takes in advance. Without them it does not finish the last row."""
_ROWS_AT_ONCE = 256


def _check_whole(image: ImageFile, data: bytes, parts: Parts, clocked: Callable[[bytes], _Clocked]) -> None:
    """Check that a JPEG without an end marker holds all of its pixels.

    A decoder reads the bytes behind a cut as if they were the missing data. So the image is decoded again with other
    bytes there, and all of its pixels must stay the same. If the JPEG has a single scan, the decoder writes each row as
    soon as it has the row's data. So the rows are filled with another level each time, and all must be written over.

    Raises:
        InvalidImage: some pixels are missing.
    """
    plugin = type(image)
    if parts.scans == 1:
        files = (clocked(_file(data, parts, bytes([byte]) * _READ_AHEAD)) for byte in _JUNK)
        levels = (0, 255, 127)
        found = (_painted_over(plugin(file), level) for file, level in zip(files, levels, strict=True))
    else:
        files = (clocked(_file(data, parts, bytes([byte]) * 400 + END_MARKER)) for byte in _JUNK)
        found = (_loaded(plugin, file, image.size) for file in files)
    if not all(_are_equal(image, each) for each in found):
        raise InvalidImage("the JPEG is truncated: it ends inside a scan")


def _are_equal(one: Image.Image, other: Image.Image) -> bool:
    """Compare the pixels of two images of one size. Rows of them are copied, never a whole image."""
    width, height = one.size
    rows = ((0, top, width, min(top + _ROWS_AT_ONCE, height)) for top in range(0, height, _ROWS_AT_ONCE))
    return all(np.array_equal(np.asarray(one.crop(each)), np.asarray(other.crop(each))) for each in rows)


def _painted_over(image: ImageFile, level: int) -> Image.Image:
    """Decode as far as it goes, and return the pixels. Where no row is written, they have the given level."""
    image.decodermaxblock = _BLOCK
    canvas = Image.new(image.mode, image.size, (level,) * len(image.getbands()))
    image.im = canvas.im
    with suppress(OSError):  # "image file is truncated": the end marker is missing
        image.load()
    return canvas


def _has_memory_for(structure: Structure) -> bool:
    """Return whether this process can have the memory that decoding takes.

    Pillow's decoders report a lack of memory as they report a broken file.
    """
    try:
        np.empty(_decoding_bytes(structure), np.uint8)  # reserves memory and does not touch it
    except MemoryError:
        return False
    return True


class _Clocked(BytesIO):
    """Bytes that can be read only until the clock shows `end`."""

    def __init__(self, data: bytes, clock: Callable[[], float], end: float) -> None:
        super().__init__(data)
        self._clock = clock
        self._end = end

    def read(self, size: int | None = -1) -> bytes:
        if self._clock() > self._end:
            raise TimeoutError(f"it takes more than {DECODE_SECONDS:g} s")
        return super().read(size)


def _to_rgb(image: Image.Image, parts: Parts) -> Image.Image:
    transparency = image.info.get("transparency")
    if parts.stretched:
        samples = np.asarray(image)
        hidden = samples == transparency if transparency is not None else None
        grey = stretched(samples, hidden)
        if hidden is not None:
            grey[hidden] = 255
        return Image.fromarray(grey).convert("RGB")
    if transparency is not None and image.mode in ("1", "L", "RGB"):
        image.info["transparency"] = _eight_bit(transparency, parts.bit_depth)
    return _over_white(image)


def _over_white(image: Image.Image) -> Image.Image:
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
