"""The decoded pixels of an upload are those that a viewer shows."""

from __future__ import annotations

import math
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.contract.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from shared.contract.models import SAM1
from shared.images.reading import DECODE_SECONDS, decode_image, inspect_image
from tests.support import sample_images as sample

WHITE = (255, 255, 255)
RED = (255, 0, 0)


def decode(data: bytes) -> NDArray[np.uint8]:
    return decode_image(data, max_pixels=10**7)


@pytest.mark.parametrize("data", [sample.jpeg(), sample.jpeg(progressive=True), sample.png(), sample.webp()])
def test_pixels_are_pillows_own(data: bytes) -> None:
    with Image.open(BytesIO(data)) as image:
        assert np.array_equal(decode(data), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_the_exif_orientation_is_applied_as_pillow_applies_it(file_format: str, orientation: int) -> None:
    data = sample.saved(sample.picture(), file_format, exif=sample.exif(orientation))
    with Image.open(BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    assert np.array_equal(decode(data), np.asarray(upright))
    assert decode(data).shape[:2] == inspect_image(data, max_pixels=10**7).original


def test_an_orientation_after_the_pixels_counts_for_the_size_and_the_pixels() -> None:
    whole = sample.png()
    chunk = sample.png_file(b"", (b"eXIf", sample.exif(6)[6:]))[8 + 12 :]  # eXIf and IEND
    data = whole[:-12] + chunk
    assert inspect_image(data, max_pixels=10**7).original == (60, 40)
    assert np.array_equal(decode(data), np.rot90(decode(whole), -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_are_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 2), (200, 200, 200, 255))
    image.paste((0, 0, 0, 0), (0, 0, 2, 2))
    image.paste((0, 0, 0, 128), (3, 0, 4, 2))
    if mode == "PA":
        palette = Image.new("P", (4, 2), 0)
        palette.putpalette([200, 200, 200, 0, 0, 0])
        palette.paste(1, (0, 0, 2, 2))
        data = sample.saved(palette, "PNG", transparency=bytes([255, 0]))
        assert decode(data)[0].tolist() == [[255] * 3, [255] * 3, [200] * 3, [200] * 3]
    else:
        data = sample.saved(image.convert(mode), "PNG")
        assert decode(data)[0].tolist() == [[255] * 3, [255] * 3, [200] * 3, [127] * 3]


def test_a_transparent_webp_is_composited_over_white() -> None:
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    assert (decode(sample.saved(image, "WEBP", lossless=True)) == 255).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_of_any_depth_spans_black_to_white_and_may_name_a_transparent_level(depth: int) -> None:
    most = 2**depth - 1
    samples = np.array([[0, most // 2, most]])
    levels = [0, most // 2 * 255 // most, 255]
    plain = decode(sample.raw_png(samples, depth=depth, colour=0))
    assert plain.tolist() == [[[level] * 3 for level in levels]]
    keyed = decode(sample.raw_png(samples, depth=depth, colour=0, transparent=b"\0\0"))
    assert keyed[0, 0].tolist() == [255] * 3
    assert keyed[0, 2].tolist() == [255] * 3
    # Of 16 bits, the transparent level does not count: then the next one is the darkest.
    assert depth == 1 or keyed[0, 1].tolist() == [0 if depth == 16 else levels[1]] * 3


@pytest.mark.parametrize("depth", [8, 16])
def test_colour_of_any_depth_may_name_a_transparent_colour(depth: int) -> None:
    top = 2**depth - 1
    samples = np.array([[[top, 0, 0], [0, top, 0]]])
    red = np.array([top, 0, 0], dtype=">u2").tobytes()
    assert decode(sample.raw_png(samples, depth=depth, colour=2)).tolist() == [[list(RED), [0, 255, 0]]]
    keyed = decode(sample.raw_png(samples, depth=depth, colour=2, transparent=red))
    assert keyed.tolist() == [[list(WHITE), [0, 255, 0]]]


def test_sixteen_bit_grey_with_alpha_is_scaled_and_composited() -> None:
    samples = np.array([[[0x8000, 0xFFFF], [0x1234, 0]]])
    assert decode(sample.raw_png(samples, depth=16, colour=4)).tolist() == [[[0x80] * 3, [255] * 3]]


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    image = sample.picture(mode=mode)
    data = sample.saved(image, "JPEG" if mode == "CMYK" else "PNG", **({"quality": 100} if mode == "CMYK" else {}))
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(decode(data) - expected).max() <= (12 if mode == "CMYK" else 0)


def test_the_result_is_three_bytes_a_pixel_and_read_only() -> None:
    pixels = decode(sample.png(5, 7))
    assert (pixels.shape, pixels.dtype, pixels.flags.writeable) == ((7, 5, 3), np.uint8, False)


def test_odd_metadata_does_not_fail_an_image() -> None:
    text_bomb = (b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8), 9))
    whole = sample.png()
    data = whole[:33] + sample.png_file(b"", text_bomb)[8 + 12 : -12] + whole[33:]
    assert np.array_equal(decode(data), decode(whole))
    assert np.array_equal(decode(sample.jpeg(exif=b"Exif\0\0II*\0\xff\xff")), decode(sample.jpeg()))


@pytest.mark.parametrize("data", [sample.png(), sample.webp(lossless=True)], ids=["png", "webp"])
def test_damaged_pixel_data_is_an_invalid_image(data: bytes) -> None:
    middle = len(data) // 2
    with pytest.raises(InvalidImage):
        decode(data[:middle] + bytes(40) + data[middle + 40 :])


class Clock:
    """A clock that stands still for `looks` readings. After that, the time limit of decoding is over."""

    def __init__(self, looks: float = math.inf) -> None:
        self.looked = 0
        self._looks = looks

    def __call__(self) -> float:
        self.looked += 1
        return 0.0 if self.looked <= self._looks else DECODE_SECONDS + 1


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_an_image_that_takes_too_long_is_given_up(file_format: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8)
    data = sample.saved(Image.fromarray(noise), file_format)
    patient = Clock()
    decode_image(data, max_pixels=10**7, clock=patient)
    assert patient.looked > len(data) // 10_000  # the clock is read during the whole decoding
    with pytest.raises(InvalidImage, match="takes more than 20 s"):
        decode_image(data, max_pixels=10**7, clock=Clock(patient.looked // 2))


def test_the_limits_of_an_upload_hold_for_the_worker_too() -> None:
    with pytest.raises(ImageTooLarge):
        decode_image(sample.huge_png(), max_pixels=10**7)
    with pytest.raises(UnsupportedImage):
        decode(sample.animated("WEBP"))


@pytest.mark.parametrize(
    ("size", "resized"),
    [((40, 60), (683, 1024)), ((1200, 1800), (683, 1024)), ((2000, 1), (1024, 1)), ((1024, 7), (1024, 7))],
)
def test_the_long_side_becomes_1024(size: tuple[int, int], resized: tuple[int, int]) -> None:
    rgb = np.asarray(sample.picture(size[1], size[0]))
    assert SAM1.frame.resize(rgb).shape == (*resized, 3)


STARVED = """
import resource, sys
from pathlib import Path
import numpy as np
from shared.images.reading import decode_image

data = Path(sys.argv[1]).read_bytes()
small = Path(sys.argv[2]).read_bytes()
decode_image(small, max_pixels=10**9)  # loads the decoder
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 16_000_000, used + 16_000_000))
try:
    decode_image(data, max_pixels=10**9)
except BaseException as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_lack_of_memory_is_not_the_images_fault(form: str, tmp_path: Path) -> None:
    options = {"lossless": True, "method": 0, "quality": 0} if form == "WEBP" else {}
    for name, side in (("large", 4000), ("small", 8)):
        Image.new("RGB", (side, side), (200, 30, 90)).save(tmp_path / name, form, **options)
    said = subprocess.run(
        [sys.executable, "-c", STARVED, tmp_path / "large", tmp_path / "small"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert said.stdout.split() == ["MemoryError"]
