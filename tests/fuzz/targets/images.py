"""The image reader of API and worker: it returns pixels or a typed error, and the pixels that Pillow reads, if any."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from shared.contract.errors import RequestError
from shared.contract.models import SAM1
from shared.images.formats.jpeg import _segments
from shared.images.formats.structure import read_structure
from shared.images.reading import decode_image, inspect_image
from tests.support import sample_images as sample
from tests.support.heif_files import grid_of

MAX_PIXELS = 250_000
PICTURES = Path(__file__).parents[2] / "pictures"
"""Small pictures by other programs."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_resized: set[tuple[int, ...]] = set()


def check(data: bytes) -> None:
    """Check the bytes, and as a PNG also with correct checksums: a typed error, or the pixels that Pillow reads."""
    _check_file(data)
    if data.startswith(_SIGNATURE):
        _check_file(_with_checksums(data))


def seeds() -> Iterator[bytes]:
    yield sample.jpeg(24, 16)
    yield sample.jpeg(24, 16, progressive=True, exif=sample.exif(6))
    yield sample.jpeg(17, 9, exif=sample.exif(8, big_endian=True), subsampling=2, restart_marker_blocks=1)
    yield sample.saved(sample.picture(24, 16, "L"), "JPEG")
    yield sample.saved(sample.picture(24, 16, "CMYK"), "JPEG")
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield sample.saved(sample.picture(24, 16, mode), "PNG")
    yield sample.png(24, 16, exif=sample.exif(3), pnginfo=None, dpi=(300, 300))
    yield sample.saved(sample.picture(24, 16, "P"), "PNG", transparency=3)
    grey = np.arange(24 * 16, dtype=np.uint16).reshape(16, 24) * 170
    yield sample.raw_png(grey, depth=16, colour=0, transparent=struct.pack(">H", 340))
    yield sample.raw_png(np.dstack([grey] * 3), depth=16, colour=2, transparent=struct.pack(">HHH", 170, 170, 170))
    yield sample.raw_png(np.dstack([grey] * 4), depth=16, colour=6)
    yield sample.raw_png(grey % 4, depth=2, colour=0, transparent=b"\0\1")
    yield sample.webp(24, 16)
    yield sample.webp(24, 16, lossless=True)
    yield sample.saved(sample.picture(24, 16, "RGBA"), "WEBP", exif=sample.exif(8))
    yield sample.mpo()
    yield sample.jpeg(24, 16)[:-2]
    yield sample.jpeg(24, 16, progressive=True)[:-2]
    yield from _tiffs(grey)
    for mode in ("1", "L", "P", "RGB"):
        yield sample.saved(sample.picture(24, 16, mode), "BMP")
    yield (
        b"BM"
        + struct.pack("<IHHI", 0, 0, 0, 118)
        + struct.pack("<IiiHHIIiiII", 40, 3, 2, 1, 4, 2, 0, 0, 0, 16, 0)
        + bytes(64)
        + b"\x03\x5a\0\0\x03\x17\0\1"
    )
    for mode in ("L", "RGB", "RGBA"):
        yield sample.saved(sample.picture(24, 16, mode), "AVIF", exif=sample.exif(6))
    yield sample.heic(24, 16)
    for kind in ("AVIF", "HEIC"):
        tiles = [sample.heic(64, 64) if kind == "HEIC" else sample.saved(sample.picture(64, 64), "AVIF")] * 2
        yield grid_of(tiles, kind, columns=2, width=120, height=60)
    yield sample.animated("WEBP")
    yield sample.animated("PNG")
    for path in sorted(PICTURES.iterdir()):
        yield path.read_bytes()


def _tiffs(grey: NDArray[np.uint16]) -> Iterator[bytes]:
    for mode, compression in (("1", "group4"), ("L", None), ("P", "packbits"), ("RGB", "tiff_lzw"), ("RGB", "jpeg")):
        yield sample.saved(sample.picture(24, 16, mode), "TIFF", compression=compression)
    yield sample.saved(sample.picture(24, 16, "RGBA"), "TIFF", exif=sample.exif(6))
    colour = np.dstack([grey] * 3)
    for samples, options in (
        (grey, {}),
        (grey, {"byteorder": ">", "compression": "zlib"}),
        (grey.astype(np.float64), {"tile": (16, 16)}),
        (colour, {"photometric": "rgb", "compression": "zlib"}),
        (np.moveaxis(colour, -1, 0).copy(), {"photometric": "rgb", "planarconfig": "separate", "bigtiff": True}),
    ):
        file = BytesIO()
        tifffile.imwrite(file, samples, metadata=None, **options)
        yield file.getvalue()


def _check_file(data: bytes) -> None:
    try:
        info = inspect_image(data, max_pixels=MAX_PIXELS)
    except RequestError:
        _must_refuse(data)
        return
    height, width = info.original
    assert 0 < height * width <= MAX_PIXELS
    try:
        pixels = decode_image(data, max_pixels=MAX_PIXELS)
    except RequestError:
        return
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8
    assert not pixels.flags.writeable
    if pixels.shape not in _resized:  # the result depends only on the shape
        _resized.add(pixels.shape)
        assert SAM1.frame.resize(pixels).shape == (*SAM1.frame.inside(info.original), 3)
    _must_agree_with_pillow(data, pixels)


def _must_refuse(data: bytes) -> None:
    try:
        decode_image(data, max_pixels=MAX_PIXELS)
    except RequestError:
        return
    raise AssertionError("refused at the door, but decoded")


def _must_agree_with_pillow(data: bytes, pixels: NDArray[np.uint8]) -> None:
    structure = read_structure(data)
    if structure.format in ("TIFF", "HEIC"):
        return  # Pillow takes other tags of a TIFF with two of a kind, and the same plugin reads HEIC
    if structure.format == "JPEG" and _has_slack(data):
        return  # where a scan is broken too, libjpeg's choice of its fast decoder depends on how many bytes follow
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(BytesIO(data), formats=["JPEG", "MPO", "PNG", "WEBP", "BMP", "AVIF"])
            image.load()
    except Exception:
        return
    assert image.size == structure.parts.stored[::-1]
    if image.mode.startswith("I") or (structure.format == "PNG" and "transparency" in image.info):
        return  # the reader treats 16-bit grey and a transparent colour in another way than Pillow
    if image.has_transparency_data:
        expected, tolerance = _over_white(np.asarray(image.convert("RGBA"), float)), 1
    else:
        expected, tolerance = np.asarray(image.convert("RGB"), float), 0
    assert np.abs(_oriented(expected, structure.orientation) - pixels).max() <= tolerance


def _has_slack(data: bytes) -> bool:
    """Whether a JPEG has bytes between its segments that the decoder does not get."""
    ends = 2
    for _, start, _, end in _segments(data):
        if start != ends:
            return True
        ends = end
    return False


def _over_white(rgba: NDArray[np.float64]) -> NDArray[np.float64]:
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


def _oriented(stored: NDArray[np.float64], orientation: int) -> NDArray[np.float64]:
    """Source: Exif 2.32, section 4.6.4, the orientations in their order."""
    turned = stored.swapaxes(0, 1) if orientation >= 5 else stored
    upside_down = orientation in (3, 4, 7, 8)
    mirrored = orientation in (2, 3, 6, 7)
    return turned[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def _with_checksums(png: bytes) -> bytes:
    """Return the PNG with a correct checksum in each chunk, so that changes in chunks pass the check."""
    mended = bytearray(png)
    start = len(_SIGNATURE)
    while start + 12 <= len(mended):
        end = start + 12 + int.from_bytes(mended[start : start + 4], "big")
        if end > len(mended):
            break
        mended[end - 4 : end] = zlib.crc32(mended[start + 4 : end - 4]).to_bytes(4, "big")
        start = end
    return bytes(mended)
