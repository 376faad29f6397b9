"""Masks that clients send: read exactly, or refused with a reason."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from prompt_api.masks import given as given_masks
from prompt_api.masks.given import PngMask, RleMask
from prompt_api.masks.rle import encode_rle
from prompt_api.masks.runs import ColumnRuns
from tests.support.masks_material import coco_encoded, painted, runs_of

Mask = NDArray[np.bool_]
masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14))


def png(pixels: NDArray[Any], **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def must_be(found: ColumnRuns, mask: Mask) -> None:
    expected = runs_of(mask)
    assert found.size == mask.shape
    assert all(np.array_equal(getattr(found, name), getattr(expected, name)) for name in ("x", "top", "bottom"))


@settings(deadline=None)
@given(masks)
def test_an_rle_of_pycocotools_is_read_exactly(mask: Mask) -> None:
    must_be(RleMask((mask.shape[0], mask.shape[1]), coco_encoded(mask)).runs(), mask)


@settings(deadline=None)
@given(masks)
def test_a_png_is_read_exactly(mask: Mask) -> None:
    must_be(PngMask.read(png(mask)).runs(), mask)


@settings(deadline=None)
@given(masks, st.integers(1, 5))
def test_runs_of_no_length_change_nothing(mask: Mask, at: int) -> None:
    lengths = coco.frPyObjects({"size": list(mask.shape), "counts": _split(mask, at)}, *mask.shape)["counts"]
    must_be(RleMask((mask.shape[0], mask.shape[1]), lengths.decode()).runs(), mask)


def _split(mask: Mask, at: int) -> list[int]:
    """Return the run lengths with one run cut in two by a run of length 0."""
    flat = mask.flatten(order="F")
    ends = [*(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    lengths = np.diff([0, *ends]).tolist()
    lengths = [0, *lengths] if flat[0] else lengths
    index = at % len(lengths)
    return [*lengths[:index], lengths[index] // 2, 0, lengths[index] - lengths[index] // 2, *lengths[index + 1 :]]


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12), st.integers(1, 5), st.integers(1, 5))
def test_any_other_text_is_refused_or_a_mask(counts: str, height: int, width: int) -> None:
    try:
        runs = RleMask((height, width), counts).runs()
    except ValueError:
        return
    must_be(runs, painted(runs))
    assert RleMask((height, width), encode_rle(runs)["counts"]).runs().area == runs.area


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 255))
def test_a_damaged_png_is_refused_or_read(at: int, byte: int) -> None:
    data = bytearray(png(np.random.default_rng(0).random((40, 30)) < 0.5))
    data[at % len(data)] = byte
    with suppress(ValueError):
        found = PngMask.read(bytes(data))
        assert found.runs().size == found.size


@pytest.mark.parametrize(
    "counts",
    ["", "5", "é", "0~", "4o", "o", "10000000000", "PPPPPPPPPPPPP0", "Z1", "/"],
    ids=lambda counts: f"{counts!r}",
)
def test_an_rle_that_does_not_fill_its_size_is_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="rle"):
        RleMask((2, 2), counts).runs()


def test_all_pixels_that_are_not_black_are_inside() -> None:
    grey = np.array([[0, 1, 255], [7, 0, 0]], np.uint8)
    for pixels in (grey, grey.astype(np.uint16) * 256, grey > 0):
        must_be(PngMask.read(png(pixels)).runs(), grey > 0)
    palette = Image.fromarray(grey, "L").convert("P")
    palette.putdata(grey.flatten().tolist())
    file = BytesIO()
    palette.save(file, "PNG")
    must_be(PngMask.read(file.getvalue()).runs(), grey > 0)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_with_colours_or_transparency_is_no_mask(channels: int) -> None:
    given_mask = PngMask.read(png(np.zeros((3, 4, channels), np.uint8)))
    with pytest.raises(ValueError, match="grey PNG"):
        given_mask.runs()


def test_what_is_no_png_is_refused_before_it_is_decoded() -> None:
    whole = png(np.ones((30, 30), bool))
    for data in (b"", b"GIF89a", whole[:20], whole[:-12], whole[:8]):
        with pytest.raises(ValueError, match="PNG"):
            PngMask.read(data)


def test_a_png_is_searched_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(3).random((50, 30)) < 0.5
    monkeypatch.setattr(given_masks, "_STRIP_PIXELS", 100)
    must_be(PngMask.read(png(mask)).runs(), mask)
