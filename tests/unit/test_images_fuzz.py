"""For any bytes, the result is pixels or a typed error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.contract.errors import RequestError
from shared.images.reading import decode_image, inspect_image
from tests.support import sample_images as sample

MAX_PIXELS = 100_000

WHOLE = [
    sample.jpeg(24, 16),
    sample.jpeg(24, 16, progressive=True, exif=sample.exif(6)),
    sample.png(24, 16, exif=sample.exif(3)),
    sample.webp(24, 16),
    sample.webp(24, 16, lossless=True),
    sample.saved(sample.picture(24, 16, "RGBA"), "WEBP", exif=sample.exif(8)),
    sample.mpo(),
    sample.animated("WEBP"),
    sample.animated("PNG"),
    sample.jpeg(24, 16)[:-2],
    sample.saved(sample.picture(24, 16), "TIFF", compression="tiff_lzw", exif=sample.exif(6)),
    sample.saved(Image.fromarray(np.arange(384, dtype=np.uint16).reshape(16, 24)), "TIFF"),
    sample.saved(sample.picture(24, 16, "P"), "BMP"),
    sample.saved(sample.picture(24, 16), "AVIF", exif=sample.exif(6)),
    sample.heic(24, 16),
]


STARTS = [
    b"\xff\xd8",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"RIFF\x60\0\0\0WEBPVP8",
    b"II*\0\x08\0\0\0",
    b"MM\0+",
    b"BM" + bytes(12) + b"\x28\0\0\0",
    b"\0\0\0\x14ftypavif\0\0\0\0mif1",
    b"\0\0\0\x14ftypheic\0\0\0\0mif1",
]


def check(data: bytes) -> None:
    """Check that both functions give the same size or typed errors. If inspection refuses a file, decoding does too."""
    try:
        original = inspect_image(data, max_pixels=MAX_PIXELS).original
    except RequestError:
        with pytest.raises(RequestError):
            decode_image(data, max_pixels=MAX_PIXELS)
        return
    try:
        pixels = decode_image(data, max_pixels=MAX_PIXELS)
    except RequestError:
        return
    assert pixels.shape == (*original, 3)


@given(st.binary(max_size=300))
@example(b"\xff\xd8\xff")
@example(b"\x89PNG\r\n\x1a\n")
@example(b"RIFF\x04\0\0\0WEBP")
def test_arbitrary_bytes(data: bytes) -> None:
    check(data)


@given(
    st.sampled_from(STARTS),
    st.binary(max_size=200),
)
def test_arbitrary_bytes_behind_a_signature(start: bytes, data: bytes) -> None:
    check(start + data)


@settings(max_examples=400)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    st.floats(0.2, 1),
)
def test_changed_and_cut_files(whole: bytes, changes: list[tuple[float, int]], kept: float) -> None:
    data = bytearray(whole)
    for position, value in changes:
        data[int(position * len(data))] = value
    check(bytes(data[: int(kept * len(data))]))
    check(bytes(data))


@settings(max_examples=200)
@given(st.sampled_from(WHOLE), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_files_with_a_piece_moved(whole: bytes, start: float, stop: float, target: float) -> None:
    first, last = sorted((int(start * len(whole)), int(stop * len(whole))))
    piece, rest = whole[first:last], whole[:first] + whole[last:]
    at = int(target * len(rest))
    check(rest[:at] + piece + rest[at:])
