"""Code that the client and the service each have their own copy of must stay the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from prompt_api.wire.problems import STATUS
from prompt_api.wire.requests import MAX_POINTS
from samcache import errors
from samcache.arrays import frame
from samcache.arrays.pixels import resize_longest_side
from samcache.cli import files
from samcache.cli.photos import upright_photo
from samcache.predictor import prompting
from shared.contract.models import SAM1
from shared.contract.picture_formats import NAMED, PICTURE_FORMATS
from shared.images.reading import decode_image
from tests.support import sample_images as sample

ROOT = Path(__file__).parents[2]


def project(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def test_version_licence_and_python_are_those_of_the_service() -> None:
    ours, theirs = project(ROOT / "client"), project(ROOT)
    for name in ("version", "license", "requires-python"):
        assert ours[name] == theirs[name]
    assert (ROOT / "client" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_libraries_are_wanted_in_the_same_versions() -> None:
    theirs = project(ROOT)
    wanted = [*theirs["dependencies"], *theirs["optional-dependencies"]["dev"]]
    assert set(project(ROOT / "client")["dependencies"]) <= set(wanted)


def test_the_most_points_of_a_prompt_are_those_of_the_service() -> None:
    assert prompting.MAX_POINTS == MAX_POINTS


def test_sizes_are_those_of_the_service() -> None:
    assert (SAM1.frame.side, SAM1.low_res_side) == (frame.FRAME_SIZE, frame.LOW_RES_SIZE)
    assert SAM1.tensors[0].shape == frame.EMBEDDING_SHAPE


@given(st.tuples(st.integers(1, 70_000), st.integers(1, 70_000)))
def test_an_image_has_the_same_size_in_the_frame(original: tuple[int, int]) -> None:
    assert frame.resized_size(original) == SAM1.frame.inside(original)


def test_an_image_has_the_same_pixels_in_the_frame() -> None:
    pixels = np.asarray(sample.picture(1500, 700))
    np.testing.assert_array_equal(resize_longest_side(pixels), SAM1.frame.resize(pixels))


def test_every_error_that_the_service_answers_is_one_of_the_client() -> None:
    for theirs in STATUS:
        ours = errors.SERVICE_ERRORS[theirs.code]
        assert [kind.__name__ for kind in ours.__mro__] == [kind.__name__ for kind in theirs.__mro__]
    roots = {"error", "bad-request", "unavailable"}
    assert set(errors.SERVICE_ERRORS) == {kind.code for kind in STATUS} | roots


def test_every_error_of_the_client_is_drawn_in_the_docstring_of_its_module() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > len(STATUS)
    for kind in kinds:
        assert kind.__name__ in str(errors.__doc__)
        assert kind.code in str(errors.__doc__) or kind.__subclasses__()


GREY = np.array([[0, 0x1234], [0x8000, 0xFFFF]])

FILES = {
    "JPEG": sample.jpeg(),
    "PNG": sample.png(),
    "WEBP": sample.webp(),
    **{f"turned {way}": sample.jpeg(exif=sample.exif(way)) for way in range(1, 10)},
    "a turned PNG": sample.png(exif=sample.exif(6)),
    "a turned WEBP": sample.webp(exif=sample.exif(8)),
    "orientation behind the pixels": sample.png()[:-12] + sample.png_file(b"", (b"eXIf", sample.exif(6)[6:]))[20:],
    "broken EXIF": sample.jpeg(exif=b"Exif\0\0II*\0\xff\xff"),
    "an orientation in XMP": sample.jpeg(xmp=b'<rdf:Description tiff:Orientation="6"/>'),
    "transparent": sample.saved(sample.picture(mode="RGBA").rotate(30), "PNG"),
    "transparent WEBP": sample.saved(sample.picture(mode="RGBA").rotate(30), "WEBP", lossless=True),
    "grey with alpha": sample.saved(sample.picture(mode="LA").rotate(30), "PNG"),
    "palette": sample.saved(sample.picture(mode="P"), "PNG"),
    "transparent palette": sample.saved(sample.picture(mode="P"), "PNG", transparency=b"\0\x80"),
    "a transparent colour": sample.png(transparency=(250, 10, 30)),
    "CMYK": sample.saved(sample.picture(mode="CMYK"), "JPEG"),
    "one bit": sample.saved(sample.picture(mode="1"), "PNG"),
    "16-bit grey": sample.raw_png(GREY, depth=16, colour=0),
    **{f"TIFF turned {way}": sample.saved(sample.picture(), "TIFF", exif=sample.exif(way)) for way in range(1, 9)},
    **{f"AVIF turned {way}": sample.saved(sample.picture(), "AVIF", exif=sample.exif(way)) for way in range(1, 9)},
    "BMP": sample.saved(sample.picture(), "BMP"),
    "HEIC": sample.heic(),
    "16-bit grey TIFF": sample.saved(Image.fromarray(GREY.astype(np.uint16)), "TIFF"),
    "floats": sample.saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
    "an MPO": sample.mpo(),
    "a JPEG without an end marker": sample.jpeg()[:-2],
    "a JPEG with zeros between segments": sample.jpeg()[:20] + bytes(3) + sample.jpeg(exif=sample.exif(6))[20:],
    "a JPEG and a video": sample.jpeg() + b"\0\0\0\x18ftypmp42" + bytes(range(256)),
    "16-bit colour": sample.raw_png(np.dstack([GREY, GREY.T, GREY]), depth=16, colour=2),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_a_photo_to_paint_on_has_the_pixels_that_the_service_sees(data: bytes) -> None:
    expected = decode_image(data, max_pixels=10_000)
    np.testing.assert_array_equal(np.asarray(upright_photo(data)), expected)


def test_the_formats_and_the_ends_of_their_names_are_those_of_the_service() -> None:
    assert {each.name: each.suffixes for each in PICTURE_FORMATS} == files.FORMATS
    assert files.NAMED == NAMED
