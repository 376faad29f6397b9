"""What decoding takes is no more than what is counted for it, for every format and mode that takes much."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from shared.contract.settings import Settings
from shared.images.formats.tiff import MOST_PIECE, MOST_PIECE_PER_PIXEL
from shared.images.reading import decoding_bytes, most_decoding_bytes
from tests.support import sample_images as sample

WIDTH, HEIGHT = 1600, 1000
NOISE = 6_000_000
"""Bytes that one measurement may be off by: what the allocator and the decoders keep."""


def _tiff(samples: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, metadata=None, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    picture = sample.picture(WIDTH, HEIGHT)
    clear = picture.convert("RGBA")
    clear.putalpha(clear.getchannel(0))
    rgb = np.asarray(picture)
    wide = rgb.astype(np.uint16) << 4
    grey = np.ascontiguousarray(wide[..., 0])
    planes = np.moveaxis(wide, -1, 0).astype(np.float64)
    colour: dict[str, Any] = {"photometric": "rgb", "compression": "zlib"}
    heic = io.BytesIO()
    pillow_heif.from_pillow(clear).save(heic, chroma=444, enc_params={"preset": "ultrafast"})
    return {
        "JPEG, turned": sample.saved(picture, "JPEG", exif=sample.exif(6)),
        "JPEG, CMYK, without an end": sample.saved(picture.convert("CMYK"), "JPEG")[:-2],
        "JPEG, progressive, without an end": sample.saved(picture, "JPEG", progressive=True)[:-2],
        "PNG with transparency": sample.saved(clear, "PNG", compress_level=1),
        "PNG of 16 bits": sample.saved(Image.fromarray(grey), "PNG", compress_level=1),
        "WEBP": sample.saved(clear, "WEBP", lossless=True, method=0, quality=0),
        "BMP": sample.saved(picture, "BMP"),
        "AVIF": sample.saved(clear, "AVIF", speed=10, subsampling="4:4:4"),
        "HEIC": heic.getvalue(),
        "TIFF": sample.saved(clear, "TIFF", compression="tiff_lzw", exif=sample.exif(6)),
        "TIFF in one strip": _tiff(rgb, rowsperstrip=HEIGHT, **colour),
        "TIFF of planes": _tiff(np.moveaxis(rgb, -1, 0).copy(), planarconfig="separate", **colour),
        "TIFF of 16 bits in one strip": _tiff(wide, rowsperstrip=HEIGHT, **colour),
        "TIFF of doubles in planes": _tiff(planes, planarconfig="separate", **colour),
        "TIFF of doubles in one strip": _tiff(planes[0], rowsperstrip=HEIGHT, compression="zlib"),
        "TIFF of doubles in tiles": _tiff(np.moveaxis(planes, 0, -1).copy(), tile=(256, 256), **colour),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process set its own peak back")
def test_no_format_takes_more_memory_than_is_counted_for_it(files: dict[str, bytes], tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(len(files))]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    # Arrays of more than 64 KB go back to the system, so that one file's do not serve the next one unseen.
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.decoding_memory", *map(str, paths)],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [tuple(map(int, line.split())) for line in run.stdout.splitlines()]
    measured = dict(zip(files, lines, strict=True))
    over = {name: pair for name, pair in measured.items() if pair[0] > pair[1] + NOISE}
    assert not over, f"(measured, counted) bytes of {over}"
    assert all(taken > 3 * WIDTH * HEIGHT for taken, _ in measured.values())


def test_no_file_within_the_limits_counts_for_more_than_a_worker_has_room_for(files: dict[str, bytes]) -> None:
    most = most_decoding_bytes(WIDTH * HEIGHT, 33_554_432)
    assert {name for name, data in files.items() if decoding_bytes(data) > most} == set()


def test_the_largest_strip_of_the_largest_picture_does_not_need_more_than_other_formats() -> None:
    """So the memory of a worker did not grow with TIFF."""
    settings = Settings()
    largest = most_decoding_bytes(settings.max_image_pixels, settings.max_upload_bytes)
    assert MOST_PIECE_PER_PIXEL * settings.max_image_pixels > MOST_PIECE
    assert largest == 22 * settings.max_image_pixels + settings.max_upload_bytes
