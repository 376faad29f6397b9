"""TIFF, BMP, AVIF and HEIC as different programs write them, and JPEGs as cameras and phones do.

The files in `tests/pictures` were written from `sample.picture()` by the programs that their names start with:
GraphicsMagick, libheif's heif-enc, imagecodecs, libvips, OpenCV, and tifffile with imagecodecs. The others are made on
the spot by Pillow, pillow-heif, tifffile, or by hand.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageOps

from shared.contract.errors import ImageTooLarge, InvalidImage, RequestError, UnsupportedImage
from shared.contract.picture_formats import MEDIA_TYPES, NAMED, NAMES
from shared.images import deep, reading
from shared.images.formats import bands, directory
from shared.images.formats import tiff as tiff_reader
from shared.images.formats.structure import _READERS
from shared.images.reading import decode_image, decoding_bytes, inspect_image
from tests.support import sample_images as sample
from tests.support.heif_files import grid_of

pillow_heif.register_heif_opener()

PICTURES = Path(__file__).parents[1] / "pictures"
RGB = np.asarray(sample.picture())
WIDE = RGB.astype(np.uint16) << 4
"""12 bits in 16, as microscopes write them."""
GREY = np.ascontiguousarray(WIDE[..., 0])


def decode(data: bytes) -> NDArray[np.uint8]:
    pixels = decode_image(data, max_pixels=10**6)
    assert pixels.shape[:2] == inspect_image(data, max_pixels=10**6).original
    return pixels


def pillows(data: bytes) -> NDArray[np.uint8]:
    """What Pillow makes of a file without transparency."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def stretched(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Each channel from its least to its greatest value, as RGB."""
    numbers = samples.astype(np.float64).reshape(*samples.shape[:2], -1)
    least, greatest = numbers.min((0, 1)), numbers.max((0, 1))
    result = ((numbers - least) * (255 / (greatest - least)) + 0.5).astype(np.uint8)
    return np.repeat(result, 3, axis=2) if result.shape[2] == 1 else result


def tiff(samples: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def heic(picture: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (picture or sample.picture()).save(file, "HEIF", **options)
    return file.getvalue()


def grid(kind: str) -> bytes:
    whole = sample.picture(256, 128)
    tiles = [whole.crop((x, y, x + 128, y + 64)) for y in (0, 64) for x in (0, 128)]
    files = [heic(tile) if kind == "HEIC" else sample.saved(tile, "AVIF") for tile in tiles]
    return grid_of(files, kind, columns=2, width=250, height=120)


def bmp(
    bits: int, rows: bytes, *, height: int = 2, compression: int = 0, masks: bytes = b"", palette: int = 0
) -> bytes:
    """A BMP three pixels wide, with a palette of `palette` greys."""
    colours = b"".join(bytes([level, level, level, 0]) for level in range(0, 16 * palette, 16))
    start = 54 + len(masks) + len(colours)
    header = struct.pack("<IiiHHIIiiII", 40, 3, height, 1, bits, compression, len(rows), 0, 0, palette, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + masks + colours + rows


def _tiffs() -> Iterator[tuple[str, bytes]]:
    for mode, compression in itertools.product(("1", "L", "P", "RGB", "CMYK"), (None, "tiff_lzw", "packbits", "zstd")):
        yield f"TIFF {mode} {compression}", sample.saved(sample.picture(mode=mode), "TIFF", compression=compression)
    yield "TIFF by JPEG", sample.saved(sample.picture(), "TIFF", compression="jpeg")
    yield "TIFF by fax", sample.saved(sample.picture(mode="1"), "TIFF", compression="group4")
    yield "TIFF in YCbCr", sample.saved(sample.picture(mode="YCbCr"), "TIFF")
    for options in (
        {"compression": "zlib", "predictor": True, "rowsperstrip": 7},
        {"tile": (16, 32)},
        {"bigtiff": True, "compression": "zlib"},
        {"byteorder": ">"},
        {"planarconfig": "separate"},
    ):
        pixels = np.moveaxis(RGB, -1, 0).copy() if "planarconfig" in options else RGB
        yield f"TIFF of tifffile {options}", tiff(pixels, photometric="rgb", **options)


DEEP = {
    "graphicsmagick-16.tif": RGB,
    "libvips-16.tif": WIDE,
    "libvips-floats.tif": RGB,
    "opencv-16.tif": WIDE,
    "tifffile-doubles-predicted.tif": GREY,
    "tifffile-floats-predicted.tif": WIDE,
    "tifffile-packbits-16.tif": GREY,
}
"""The TIFFs of more than 8 bits in `tests/pictures`, and samples that differ from theirs by no more than a scale."""

ALPHA = "heif-enc-alpha.heic"

FILES = {
    **dict(_tiffs()),
    **{f"BMP {mode}": sample.saved(sample.picture(mode=mode), "BMP") for mode in ("1", "L", "P", "RGB")},
    "BMP from the top": bmp(24, bytes(range(24)), height=-2),
    "BMP of 15 bits": bmp(16, bytes(range(16))),
    "BMP of bit fields": bmp(16, bytes(range(16)), compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
    "BMP in RLE8": bmp(8, b"\x03\x05\0\0\x01\x02\x02\x07\0\1", compression=1, palette=16),
    "BMP in RLE4": bmp(4, b"\x03\x5a\0\0\x03\x17\0\1", compression=2, palette=16),
    "AVIF": sample.saved(sample.picture(), "AVIF"),
    "AVIF 4:4:4": sample.saved(sample.picture(), "AVIF", subsampling="4:4:4", quality=95),
    "grey AVIF": sample.saved(sample.picture(mode="L"), "AVIF", subsampling="4:0:0"),
    "AVIF grid": grid("AVIF"),
    "HEIC": heic(),
    "HEIC 4:4:4": heic(chroma=444, quality=95),
    "grey HEIC": heic(sample.picture(mode="L")),
    "HEIC of other blocks": heic(sample.picture(400, 300), quality=60),
    "HEIC of two pictures": heic(append_images=[sample.picture(90, 30)], save_all=True),
    "HEIC grid": grid("HEIC"),
    **{path.name: path.read_bytes() for path in sorted(PICTURES.iterdir()) if path.name not in (*DEEP, ALPHA)},
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_pixels_are_pillows_own(data: bytes) -> None:
    np.testing.assert_array_equal(decode(data), pillows(data))


def test_every_format_of_the_list_has_a_reader_and_a_plugin() -> None:
    assert tuple(_READERS) == NAMES
    assert tuple(reading._plugin(name).format for name in NAMES) == (*NAMES[:-1], "HEIF")


def test_decoders_have_no_threads_of_their_own() -> None:
    decode(heic())
    assert (AvifImagePlugin.DEFAULT_MAX_THREADS, pillow_heif.options.DECODE_THREADS) == (1, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIC"])
def test_each_orientation_is_applied_as_pillow_applies_it(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = sample.picture()
    data = heic(picture, exif=exif.tobytes()) if kind == "HEIC" else sample.saved(picture, kind, exif=exif)
    if kind == "HEIC":  # pillow-heif drops the orientation on its way from Pillow unless the picture itself has it
        picture.getexif()[0x0112] = orientation
        data = heic(picture)
    np.testing.assert_array_equal(decode(data), pillows(data))
    assert decode(data).shape[:2] == ((60, 40) if orientation >= 5 else (40, 60))


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIC"])
def test_transparent_pixels_are_white_in_every_format(kind: str) -> None:
    picture = Image.new("RGBA", (32, 16), (200, 40, 40, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 16, 16))
    options: dict[str, Any] = {"TIFF": {}, "AVIF": {"quality": 100}, "HEIC": {"quality": -1}}[kind]
    data = sample.saved(picture, "HEIF" if kind == "HEIC" else kind, **options)
    pixels = decode(data).astype(int)
    assert np.abs(pixels[4, 4] - 255).max() <= 2
    assert np.abs(pixels[4, 28] - (200, 40, 40)).max() <= 6


def test_a_heic_of_another_program_is_composited_as_pillow_does_it() -> None:
    data = (PICTURES / ALPHA).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        white = Image.new("RGBA", image.size, "white")
        expected = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"), int)
    assert np.abs(decode(data) - expected).max() <= 1


WAYS: list[dict[str, Any]] = [
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "rowsperstrip": 7},
    {"tile": (16, 16), "compression": "zlib"},
    {"bigtiff": True},
    {"byteorder": ">"},
    {"byteorder": ">", "compression": "zlib"},
]
SAMPLES = {
    "16-bit grey": GREY,
    "16-bit colour": WIDE,
    "signed 16-bit grey": GREY.astype(np.int16) - 1000,
    "32-bit grey": GREY.astype(np.uint32) + 2**31,
    "signed 32-bit grey": GREY.astype(np.int32) - 5,
    "half floats": GREY.astype(np.float16),
    "floats": GREY.astype(np.float32) / 7 - 3,
    "doubles": GREY.astype(np.float64) / 7 - 3,
    "colours as floats": WIDE.astype(np.float32) / 4095,
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_tiff_of_more_than_8_bits_is_stretched_channel_by_channel(samples: NDArray[Any], way: dict[str, Any]) -> None:
    options = {"photometric": "rgb"} if samples.ndim == 3 else {}
    np.testing.assert_array_equal(decode(tiff(samples, **options, **way)), stretched(samples))
    if samples.ndim == 3:
        planes = np.moveaxis(samples, -1, 0).copy()
        data = tiff(planes, **options, **way, planarconfig="separate")
        np.testing.assert_array_equal(decode(data), stretched(samples))


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_16_bit_tiff_with_a_predictor_is_stretched_too(tile: tuple[int, int] | None) -> None:
    for samples in (GREY, WIDE, GREY.astype(np.uint32)):
        photometric = "rgb" if samples.ndim == 3 else None
        data = tiff(samples, photometric=photometric, compression="zlib", predictor=True, tile=tile)
        np.testing.assert_array_equal(decode(data), stretched(samples))


@pytest.mark.parametrize(("name", "samples"), DEEP.items(), ids=DEEP.keys())
def test_a_deep_tiff_of_another_program_is_stretched_too(name: str, samples: NDArray[Any]) -> None:
    np.testing.assert_array_equal(decode((PICTURES / name).read_bytes()), stretched(samples))


def packed_12(samples: NDArray[Any], order: str = "<") -> bytes:
    """A TIFF of packed 12-bit grey, as cameras for machines write it."""
    bits = np.unpackbits(samples.astype(">u2").view(np.uint8).reshape(*samples.shape, 2), axis=2)[..., 4:]
    rows = np.packbits(bits.reshape(len(samples), -1), axis=1).tobytes()
    height, width = samples.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 278: height, 279: len(rows)}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return start + struct.pack(f"{order}I", 8 + len(rows)) + rows + directory


@pytest.mark.parametrize("width", [60, 59, 3])
@pytest.mark.parametrize("order", "<>")
def test_packed_12_bit_grey_is_stretched_too(order: str, width: int) -> None:
    samples = GREY[:, :width] >> 4
    np.testing.assert_array_equal(decode(packed_12(samples, order)), stretched(samples))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "zlib", "tile": (64, 64)}], ids=str)
@pytest.mark.parametrize("samples", [GREY, WIDE, WIDE.astype(np.float32)], ids=["grey", "colour", "floats"])
def test_samples_are_unpacked_in_bands_of_rows(
    samples: NDArray[Any], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With bands of a few rows, and with strips that are cut into lower ones."""
    photometric = "rgb" if samples.ndim == 3 else None
    for module in (bands, deep, tiff_reader):
        monkeypatch.setattr(module, "BAND_BYTES", 1000)
    for rows in ({"rowsperstrip": 9}, {"rowsperstrip": 8}, {"rowsperstrip": 40}) if "tile" not in options else ({},):
        data = tiff(samples, photometric=photometric, **options, **rows)
        np.testing.assert_array_equal(decode(data), stretched(samples))


def test_no_limit_of_pillows_own_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow counts each byte of a sample as a pixel, so floats met its limit at 15 MP."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(decode(tiff(WIDE.astype(np.float32), photometric="rgb")), stretched(WIDE))
    np.testing.assert_array_equal(decode(tiff(RGB, photometric="rgb", compression="zlib")), RGB)


def test_floats_as_far_apart_as_they_can_be_are_stretched() -> None:
    most = np.finfo(np.float64).max
    assert decode(tiff(np.array([[-most, 0, most, np.nan]])))[0, :, 0].tolist() == [0, 128, 255, 0]


def test_strips_that_share_their_bytes_many_times_over_are_refused() -> None:
    """The file of one band would hold those bytes once for each strip."""
    strip = zlib.compress(bytes(120)).ljust(5000, b"\0")
    tags = {256: [60], 257: [40], 258: [16], 259: [8], 262: [1], 277: [1], 278: [1], 273: [8] * 40, 279: [5000] * 40}
    data = b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory.written("<", 8 + len(strip), tags)
    with pytest.raises(InvalidImage, match="on top of each other"):
        inspect_image(data, max_pixels=10**6)


def test_a_strip_that_unpacks_to_too_many_bytes_is_refused_with_a_reason() -> None:
    colour = tiff(np.zeros((40, 60, 3), np.float64), photometric="rgb", compression="zlib", rowsperstrip=40)
    data = bytearray(colour)
    for tag, side in ((256, 60), (257, 40), (278, 40)):
        entry = next(entry for kind in "HI" if (entry := _single(tag, kind, side)) in data)
        place = data.index(entry)
        data[place : place + 12] = _single(tag, "I", 3000)
    with pytest.raises(UnsupportedImage, match="a strip unpacks to 216000000 bytes, and at most 67108864 are accepted"):
        inspect_image(bytes(data), max_pixels=10**7)


def test_alpha_of_16_bits_is_not_stretched() -> None:
    alpha = np.full((*GREY.shape, 1), 0xC000, np.uint16)
    alpha[:, :30] = 0xFFFF
    data = tiff(np.dstack([WIDE, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    pixels = decode(data)
    np.testing.assert_array_equal(pixels[:, :30], stretched(WIDE)[:, :30])
    assert (pixels[:, 30:] >= 63).all()  # a quarter of the white behind it shows
    grey = decode(tiff(np.dstack([GREY, alpha]), photometric="minisblack", extrasamples=["unassalpha"]))
    np.testing.assert_array_equal(grey[:, :30], stretched(GREY)[:, :30])
    assert (grey[:, 30:] >= 63).all()


def test_further_samples_of_a_pixel_are_left_out() -> None:
    more = np.dstack([WIDE, GREY[..., None] * 0])
    np.testing.assert_array_equal(decode(tiff(more, photometric="rgb", extrasamples=["unspecified"])), stretched(WIDE))
    planes = np.moveaxis(more, -1, 0).copy()
    data = tiff(planes, photometric="rgb", planarconfig="separate", extrasamples=["unspecified"], compression="zlib")
    np.testing.assert_array_equal(decode(data), stretched(WIDE))


def test_white_is_the_least_sample_where_a_tiff_says_so() -> None:
    for samples in (GREY, GREY.astype(np.float32)):
        np.testing.assert_array_equal(decode(tiff(samples, photometric="miniswhite")), 255 - stretched(GREY))


def test_12_bits_in_a_16_bit_grey_png_span_black_to_white() -> None:
    data = sample.saved(Image.fromarray(GREY), "PNG")
    np.testing.assert_array_equal(decode(data), stretched(GREY))


def test_what_is_no_number_is_black_and_does_not_count() -> None:
    samples = GREY.astype(np.float32)
    samples[0, :3] = (np.nan, np.inf, -np.inf)
    pixels = decode(tiff(samples))
    assert pixels[0, :3, 0].tolist() == [0, 255, 0]
    np.testing.assert_array_equal(pixels[1:], stretched(samples[1:]))
    assert not decode(tiff(np.full((4, 5), np.nan, np.float32))).any()
    assert not decode(tiff(np.full((4, 5), 700, np.uint16))).any()


def test_of_several_pages_the_first_counts() -> None:
    np.testing.assert_array_equal(decode(tiff(np.stack([GREY, GREY * 0]))), stretched(GREY))
    pages = sample.saved(sample.picture(), "TIFF", save_all=True, append_images=[sample.picture(90, 10)])
    np.testing.assert_array_equal(decode(pages), RGB)


def test_directories_that_lead_in_a_circle_are_not_followed() -> None:
    data = bytearray(tiff(RGB, photometric="rgb"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    np.testing.assert_array_equal(decode(bytes(data)), RGB)


def test_thousands_of_tags_that_claim_the_whole_file_cost_nothing() -> None:
    """Pillow alone would read the file once for each of them."""
    data = bytearray(sample.saved(sample.picture(), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    old = bytes(data[first + 2 : first + 2 + 12 * entries])
    struct.pack_into("<I", data, 4, len(data))
    greedy = b"".join(struct.pack("<HHII", 60_000, 1, 700_000, 8) for _ in range(60_000))
    data += struct.pack("<H", entries + 60_000) + old + greedy + bytes(4)
    np.testing.assert_array_equal(decode(bytes(data)), RGB)


@pytest.mark.parametrize(
    "data",
    [
        tiff(RGB, photometric="rgb", subfiletype=1),
        tiff(RGB, photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)]),
        tiff(GREY, compression="lzma"),
        tiff(GREY.astype(np.complex64)),
        (PICTURES / "tifffile-doubles-predicted.tif")
        .read_bytes()
        .replace(struct.pack(">HHIH", 258, 3, 1, 64), struct.pack(">HHIH", 258, 3, 1, 24)),
        bmp(24, bytes(24), compression=5),
        sample.saved(sample.picture(), "AVIF", save_all=True, append_images=[sample.picture().rotate(180)]),
        heic().replace(b"ftypheic", b"ftyphevc"),
        sample.saved(sample.picture(), "GIF"),
        sample.saved(sample.picture(), "JPEG2000"),
    ],
    ids=["preview", "dng", "lzma", "complex", "24-bit-float", "png-in-bmp", "animated-avif", "hevc", "gif", "jp2"],
)
def test_kinds_that_are_not_read_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        decode(data)


CUT = {
    "TIFF": tiff(RGB, photometric="rgb"),
    "Deflate TIFF": tiff(GREY, compression="zlib"),
    "BMP": sample.saved(sample.picture(), "BMP"),
    "AVIF": sample.saved(sample.picture(), "AVIF"),
    "HEIC": heic(),
}


@pytest.mark.parametrize("whole", CUT.values(), ids=CUT.keys())
def test_a_file_cut_anywhere_is_refused_at_the_door(whole: bytes) -> None:
    for length in range(16, len(whole) - 1, max(1, len(whole) // 300)):
        with pytest.raises(RequestError):
            inspect_image(whole[:length], max_pixels=10**6)


BOX = struct.pack(">I4s", 8 + 100_000, b"mpvd") + bytes(100_000)


@pytest.mark.parametrize("whole", CUT.values(), ids=CUT.keys())
@pytest.mark.parametrize(
    "behind",
    [BOX, b"\0\0\0\x18ftypmp42" + bytes(12) + b"\0\0\0\x08moov" + bytes(range(256)), b"SEFH\x6b\0\0\0SEFT", bytes(3)],
    ids=["a video in a box", "a video", "Samsung's trailer", "a few bytes"],
)
def test_what_follows_the_picture_counts_for_nothing(whole: bytes, behind: bytes) -> None:
    np.testing.assert_array_equal(decode(whole + behind), decode(whole))
    assert decoding_bytes(whole + behind) <= decoding_bytes(whole) + len(behind)


@pytest.mark.parametrize("whole", CUT.values(), ids=CUT.keys())
def test_the_caps_hold_for_every_format(whole: bytes) -> None:
    with pytest.raises(ImageTooLarge):
        inspect_image(whole, max_pixels=2399)
    with pytest.raises(ImageTooLarge):
        decode_image(whole, max_pixels=2399)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
@pytest.mark.parametrize("other", [b"unci", b"mski", b"iovl", b"jpeg"])
@pytest.mark.parametrize("which", ["picture", "alpha"])
def test_a_picture_or_an_alpha_channel_of_another_codec_reaches_no_decoder(kind: str, other: bytes, which: str) -> None:
    """The libraries have decoders for them, in which faults were found."""
    picture, codec = sample.picture(mode="RGBA"), b"hvc1" if kind == "HEIC" else b"av01"
    picture.putalpha(picture.getchannel("R"))
    data = heic(picture) if kind == "HEIC" else sample.saved(picture, "AVIF")
    entries = [match.start() + 12 for match in re.finditer(rb"infe....(....)" + codec, data, re.DOTALL)]
    assert len(entries) == 2
    at = entries[which == "alpha"]
    with pytest.raises(UnsupportedImage):
        inspect_image(data[:at] + other + data[at + 4 :], max_pixels=10**6)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_a_codec_that_claims_more_than_the_file_is_refused(kind: str) -> None:
    """Its decoder would take memory for the size that it claims."""
    data = sample.saved(sample.picture(1200, 900), "AVIF") if kind == "AVIF" else heic(sample.picture(1200, 900))
    small = data.replace(struct.pack(">II", 1200, 900), struct.pack(">II", 60, 40))
    assert small != data
    for read in (inspect_image, decode_image):
        with pytest.raises(InvalidImage, match="contradicts itself about its size"):
            read(small, max_pixels=10**6)


def test_a_tile_larger_than_any_picture_is_refused() -> None:
    data = tiff(GREY, tile=(16, 16), compression="zlib")
    huge = data
    for tag in (322, 323):
        small = next(entry for kind in "HI" if (entry := _single(tag, kind, 16)) in data)
        huge = huge.replace(small, _single(tag, "I", 65520))
    with pytest.raises(UnsupportedImage, match="a row of its tiles unpacks to"):
        inspect_image(huge, max_pixels=10**6)


def _single(tag: int, kind: str, value: int) -> bytes:
    """A TIFF's tag with one SHORT or LONG."""
    return struct.pack(f"<HHI{kind}", tag, "  -HI".index(kind), 1, value)


def test_a_worker_without_the_extra_says_that_it_reads_no_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert inspect_image(heic(), max_pixels=10**6).format == "HEIC"
    with pytest.raises(UnsupportedImage, match="without the extra `heic`"):
        decode(heic())


def test_the_reader_of_heic_may_be_the_build_without_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", pillow_heif)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    np.testing.assert_array_equal(decode(heic()), pillows(heic()))


GAIN_MAP = b'<rdf:Description hdrgm:Version="1.0"/>'
THUMBNAIL = sample.jpeg(32, 24)

BEHIND = {
    "a thumbnail": THUMBNAIL,
    "zeros and a thumbnail": bytes(4000) + THUMBNAIL,
    "a video": b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40,
    "Samsung's trailer": b"\0\0\x0a\x0e\x08\0\0\0Image_UTC_Data1SEFH\x6b\0\0\0SEFT",
    "two pictures": THUMBNAIL + THUMBNAIL,
    "a broken picture": THUMBNAIL[:300],
}


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND.keys())
def test_a_jpeg_is_its_first_picture(behind: bytes, progressive: bool) -> None:
    alone = sample.jpeg(progressive=progressive)
    np.testing.assert_array_equal(decode(alone + behind), pillows(alone))


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


@pytest.mark.parametrize("size", [(150, 100), (60, 40), (240, 160)])
@pytest.mark.parametrize(
    "announced", [b"", _segment(0xE1, GAIN_MAP), _segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4))]
)
def test_an_mpo_is_its_first_picture_with_or_without_the_others(announced: bytes, size: tuple[int, int]) -> None:
    """A large thumbnail, the other eye of a stereo pair, a gain map by its old and by its new mark."""
    whole = sample.saved(sample.picture(), "MPO", save_all=True, append_images=[sample.picture(*size)], quality=95)
    whole = whole[:2] + announced + whole[2:]
    alone = whole[: whole.index(b"\xff\xd9\xff\xd8") + 2]
    for data in (whole, alone):
        np.testing.assert_array_equal(decode(data), pillows(sample.jpeg()))


JPEGS = {
    "Pillow": sample.jpeg(),
    "Pillow, progressive": sample.jpeg(progressive=True),
    "Pillow, with restarts": sample.jpeg(restart_marker_blocks=2),
    "Pillow, progressive, with restarts": sample.jpeg(progressive=True, restart_marker_blocks=2),
    "Pillow, with restarts, reduced colours": sample.jpeg(restart_marker_blocks=1, subsampling=2),
    "Pillow, grey": sample.saved(sample.picture(mode="L"), "JPEG"),
    "Pillow, CMYK": sample.saved(sample.picture(mode="CMYK"), "JPEG"),
    "OpenCV": (PICTURES / "opencv.jpg").read_bytes(),
    "OpenCV, progressive": (PICTURES / "opencv-progressive.jpg").read_bytes(),
    "imagecodecs": (PICTURES / "imagecodecs.jpg").read_bytes(),
    "libvips": (PICTURES / "libvips.jpg").read_bytes(),
    "libvips, progressive": (PICTURES / "libvips-progressive.jpg").read_bytes(),
    "GraphicsMagick": (PICTURES / "graphicsmagick.jpg").read_bytes(),
}


@pytest.mark.parametrize("whole", JPEGS.values(), ids=JPEGS.keys())
@pytest.mark.parametrize("slack", [b"\0", bytes(500), b"junk", b"\xff\xff\xff", b"\xff\0"])
def test_slack_between_two_segments_is_skipped(whole: bytes, slack: bytes) -> None:
    first = 4 + int.from_bytes(whole[4:6], "big")
    for at in (2, first):
        np.testing.assert_array_equal(decode(whole[:at] + slack + whole[at:]), decode(whole))


@pytest.mark.parametrize("whole", JPEGS.values(), ids=JPEGS.keys())
@pytest.mark.parametrize("end", [b"", b"\xff", bytes(30)], ids=["nothing", "half a marker", "zeros"])
def test_a_missing_end_marker_does_no_harm(whole: bytes, end: bytes) -> None:
    np.testing.assert_array_equal(decode(whole[:-2] + end), decode(whole))


@pytest.mark.parametrize("whole", JPEGS.values(), ids=JPEGS.keys())
def test_a_jpeg_that_shows_only_in_part_is_invalid(whole: bytes) -> None:
    """Cut at most places; where a cut takes nothing that shows, the picture is the same."""
    expected = decode(whole)
    refused = 0
    for length in range(len(whole) - 3, 20, -max(1, len(whole) // 200)):
        try:
            pixels = decode(whole[:length])
        except InvalidImage:
            refused += 1
        else:
            np.testing.assert_array_equal(pixels, expected)
    assert refused > 150


@pytest.mark.parametrize("name", [name for name in JPEGS if "restarts" in name])
def test_a_missing_restart_is_found_at_the_door(name: str) -> None:
    whole = JPEGS[name]
    last = max(whole.rindex(bytes([0xFF, marker])) for marker in range(0xD0, 0xD8) if bytes([0xFF, marker]) in whole)
    for length in (last, last - 1, last - 20):
        with pytest.raises(InvalidImage, match="a part of its last scan"):
            inspect_image(whole[:length], max_pixels=10**6)


@pytest.mark.parametrize(
    "path",
    [
        "prompt_api/web/index.html",
        "prompt_api/web/problems.js",
        "docs/http-api.md",
        "docs/client.md",
        "docs/command-line.md",
        "docs/web-page.md",
    ],
)
def test_the_page_and_the_guides_name_every_format(path: str) -> None:
    text = " ".join((PICTURES.parents[1] / path).read_text(encoding="utf-8").split())
    assert NAMED in text
    assert "JPEG, PNG or WEBP" not in text
    if path.endswith(".html"):
        (accepted,) = re.findall(r'type="file" accept="([^"]+)"', text)
        assert set(MEDIA_TYPES) <= set(accepted.split(","))
