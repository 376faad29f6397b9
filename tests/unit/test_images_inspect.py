"""Inspecting an upload by its bytes alone."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image

from shared.contract.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from shared.images.formats.jpeg import MAX_SCANS
from shared.images.reading import ImageInfo, inspect_image
from tests.support import sample_images as sample

MANY = 10**9


def inspect(data: bytes) -> ImageInfo:
    return inspect_image(data, max_pixels=MANY)


@pytest.mark.parametrize(
    ("data", "file_format"),
    [
        (sample.jpeg(), "JPEG"),
        (sample.jpeg(progressive=True), "JPEG"),
        (sample.jpeg(restart_marker_blocks=1), "JPEG"),
        (sample.saved(sample.picture(mode="CMYK"), "JPEG"), "JPEG"),
        (sample.png(), "PNG"),
        (sample.webp(), "WEBP"),
        (sample.webp(lossless=True), "WEBP"),
        (sample.saved(sample.picture(mode="RGBA"), "WEBP"), "WEBP"),
        (sample.webp(exif=sample.exif(1)), "WEBP"),
    ],
)
def test_format_and_size_are_read_from_the_header(data: bytes, file_format: str) -> None:
    assert inspect(data) == ImageInfo(file_format, (40, 60))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_the_size_is_the_one_after_the_exif_orientation(file_format: str, orientation: int) -> None:
    data = sample.saved(sample.picture(), file_format, exif=sample.exif(orientation, big_endian=True))
    assert inspect(data).original == ((60, 40) if orientation >= 5 else (40, 60))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"II",
        b"II*\0",
        sample.exif(6)[6:20],
        sample.exif(99)[6:],
        sample.exif(0)[6:],
        b"II*\0\xff\xff\xff\xff",
        b"junk" * 9,
    ],
)
def test_broken_exif_counts_as_none(broken: bytes) -> None:
    assert inspect(sample.jpeg(exif=b"Exif\0\0" + broken)).original == (40, 60)


@pytest.mark.parametrize(
    "data",
    [
        b"hello, this is text",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        sample.saved(sample.picture(), "GIF"),
        sample.animated("WEBP"),
        sample.animated("AVIF"),
        sample.animated("PNG"),
        sample.animated("GIF"),
        b"RIFF\x04\0\0\0WAVE",
    ],
    ids=["text", "svg", "gif", "animated-webp", "animated-avif", "apng", "animated-gif", "wave"],
)
def test_anything_but_a_still_picture_of_a_known_format_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        inspect(data)


@pytest.mark.parametrize("junk", [b"", b"MM\0*", b"II*\0\x08\0\0\0\xff\xff"])
def test_an_unreadable_picture_index_is_ignored(junk: bytes) -> None:
    segment = b"\xff\xe2" + struct.pack(">H", 6 + len(junk)) + b"MPF\0" + junk
    data = sample.jpeg()
    assert inspect(data[:2] + segment + data[2:]).format == "JPEG"


def test_no_bytes_are_no_image() -> None:
    with pytest.raises(InvalidImage, match="empty"):
        inspect(b"")


@pytest.mark.parametrize(
    "whole",
    [sample.png(), sample.webp(), sample.webp(lossless=True)],
    ids=["png", "webp", "lossless-webp"],
)
def test_a_file_cut_anywhere_is_refused(whole: bytes) -> None:
    for length in range(12, len(whole)):
        with pytest.raises(InvalidImage):
            inspect(whole[:length])


@pytest.mark.parametrize("length", range(2, 12))
@pytest.mark.parametrize("whole", [sample.jpeg(), sample.png(), sample.webp()], ids=["jpeg", "png", "webp"])
def test_a_file_cut_in_its_signature_is_refused(whole: bytes, length: int) -> None:
    with pytest.raises((InvalidImage, UnsupportedImage)):
        inspect(whole[:length])


@pytest.mark.parametrize("whole", [sample.jpeg(), sample.png(), sample.webp()], ids=["jpeg", "png", "webp"])
def test_what_follows_the_image_is_ignored(whole: bytes) -> None:
    assert inspect(whole + b"ftypmp42, a motion photo's video \xff\xd8\xff").original == (40, 60)


def test_more_pixels_than_allowed_are_refused_with_the_limit() -> None:
    with pytest.raises(ImageTooLarge) as refusal:
        inspect_image(sample.png(60, 40), max_pixels=2399)
    assert refusal.value.extra == {"width": 60, "height": 40, "max_pixels": 2399}
    assert inspect_image(sample.png(60, 40), max_pixels=2400).original == (40, 60)


def test_a_small_file_that_unpacks_to_900_megapixels_is_too_large() -> None:
    data = sample.huge_png()
    assert len(data) < 200_000
    with pytest.raises(ImageTooLarge):
        inspect_image(data, max_pixels=50_000_000)


@pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1)])
def test_a_side_longer_than_any_jpeg_has_is_too_large(size: tuple[int, int]) -> None:
    file = BytesIO()
    Image.new("1", size).save(file, "PNG")
    with pytest.raises(ImageTooLarge, match="a side has at most 65535"):
        inspect_image(file.getvalue(), max_pixels=50_000_000)


def png_header(width: int = 60, height: int = 40, depth: int = 8, colour: int = 2) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        sample.png_file(png_header(width=0), (b"IDAT", zlib.compress(b""))),
        sample.png_file(png_header(height=0), (b"IDAT", zlib.compress(b""))),
        sample.png_file(png_header(depth=3), (b"IDAT", zlib.compress(b""))),
        sample.png_file(png_header(colour=5), (b"IDAT", zlib.compress(b""))),
        sample.png_file(png_header()),
        sample.png().replace(b"\0\0\0\x3c\0\0\0\x28", b"\0\0\0\x3d\0\0\0\x28", 1),
        sample.png().replace(b"\r\n", b"\n", 1),
        sample.png_file(png_header(), *[(b"IDAT", b"")] * 100_001),
        b"RIFF\x04\0\0\0WEBP",
        sample.webp().replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b", 1),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\x00\x02\xff\xd9",
        b"\xff\xd8\xff\xd8\xff\xd9",
        b"\xff\xd8garbage",
        sample.jpeg().replace(b"\x00\x28\x00\x3c", b"\x00\x00\x00\x3c", 1),
        sample.jpeg()[:-2] + b"\xff\xda\x00\x02" * 501 + b"\xff\xd9",
        sample.jpeg()[:-2] + b"\xff\xfe\x00\x02" * 100_001 + b"\xff\xd9",
    ],
)
def test_a_header_that_contradicts_its_format_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        inspect(data)


def test_a_progressive_jpeg_of_very_many_scans_is_refused() -> None:
    assert inspect(sample.jpeg_of_scans(MAX_SCANS)).format == "JPEG"
    with pytest.raises(InvalidImage, match="scans"):
        inspect(sample.jpeg_of_scans(MAX_SCANS + 1))


def test_pillow_and_the_header_agree_on_every_sample() -> None:
    for data in (sample.jpeg(33, 77), sample.png(33, 77), sample.webp(33, 77), sample.webp(33, 77, lossless=True)):
        with Image.open(BytesIO(data)) as image:
            assert inspect(data).original == image.size[::-1]
