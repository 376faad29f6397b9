"""Builds the image files that tests upload: good, odd and bad ones."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the bytes of `image` as a file."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def picture(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    """A picture in which no two orientations look alike."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    rgb = np.stack([x, y, (x + 2 * y) % 256], axis=-1).astype(np.uint8)
    rgb[: height // 4, : width // 4] = (250, 10, 30)
    return Image.fromarray(rgb).convert(mode)


def jpeg(width: int = 60, height: int = 40, **options: Any) -> bytes:
    return saved(picture(width, height), "JPEG", quality=95, **options)


def jpeg_of_scans(scans: int, width: int = 60, height: int = 40) -> bytes:
    """A progressive JPEG whose last scan, which changes nothing, is repeated until there are `scans`."""
    data = saved(Image.new("RGB", (width, height)), "JPEG", progressive=True)
    end, scan = data.rindex(b"\xff\xd9"), data.rindex(b"\xff\xda")
    tables = data.rindex(b"\xff\xc4", 0, scan)
    return data[:end] + data[tables:end] * (scans - data.count(b"\xff\xda")) + data[end:]


def png(width: int = 60, height: int = 40, **options: Any) -> bytes:
    return saved(picture(width, height), "PNG", **options)


def webp(width: int = 60, height: int = 40, **options: Any) -> bytes:
    return saved(picture(width, height), "WEBP", **options)


def heic(width: int = 60, height: int = 40, **options: Any) -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(picture(width, height)).save(stream, **options)
    return stream.getvalue()


def animated(file_format: str) -> bytes:
    """An animation of two frames as WEBP, PNG or GIF."""
    return saved(picture(), file_format, save_all=True, append_images=[picture().rotate(180)], duration=50)


def mpo() -> bytes:
    """Two pictures in one file, as stereo cameras write them."""
    return saved(picture(), "MPO", save_all=True, append_images=[picture().rotate(180)])


def huge_png(side: int = 30_000) -> bytes:
    """A PNG of a hundred kilobytes that unpacks to `side` x `side` pixels."""
    row = bytes(1 + side // 8)
    packer = zlib.compressobj(9)
    pixels = b"".join([packer.compress(row) for _ in range(side)]) + packer.flush()
    return png_file(struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0), (b"IDAT", pixels))


def raw_png(samples: NDArray[np.generic], *, depth: int, colour: int, transparent: bytes = b"") -> bytes:
    """A PNG of (H, W) or (H, W, C) samples at a bit depth and colour type that Pillow does not write."""
    height, width = samples.shape[:2]
    wide = np.asarray(samples).reshape(height, -1)
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in wide]
    else:
        bits = np.unpackbits(wide.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :].reshape(height, -1)
        rows = [np.packbits(row).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"tRNS", transparent)] if transparent else []
    return png_file(header, *chunks, (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))))


def png_file(header: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", zlib.crc32(kind + content))]
    return b"".join(parts)


def exif(orientation: int, *, big_endian: bool = False) -> bytes:
    """EXIF data with nothing but an orientation, in the form that Pillow's writers take."""
    order, start = (">", b"MM\0*") if big_endian else ("<", b"II*\0")
    return b"Exif\0\0" + start + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
