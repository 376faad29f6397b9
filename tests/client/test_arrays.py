"""The arrays that the client makes of answers, compared with the libraries that they must agree with."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco

from prompt_api.masks.encode import encode_masks
from prompt_api.masks.given import PngMask
from prompt_api.masks.interface import MaskFormat
from prompt_api.masks.polygons import encode_polygons
from prompt_api.models.sam1.boundary import mask_runs
from samcache.arrays.coco_polygons import coco_polygons
from samcache.arrays.embedding import embedding_of
from samcache.arrays.given_mask import mask_prompt
from samcache.arrays.logits import full_size_logits, logits_of, logits_text
from samcache.arrays.pixels import png_of
from samcache.arrays.rle import mask_of_rle
from samcache.cli.mask_file import read_mask
from samcache.errors import UnexpectedAnswer
from samcache.predictor.transform import ResizeLongestSide, to_original
from shared.contract.models import SAM1
from shared.images.reading import decode_image
from tests.support.masks_material import painted, runs_of


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [(77, 117), (1, 300), (300, 1)])
def test_an_rle_becomes_the_mask_it_was_made_from(seed: int, size: tuple[int, int]) -> None:
    mask = np.random.default_rng(seed).random(size) > (0.5, 0.99, 0.01, 0.9, 0.1)[seed]
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    found = mask_of_rle({"size": rle["size"], "counts": rle["counts"].decode()})
    assert found.dtype == np.bool_
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_and_a_full_mask_are_read_too(value: bool) -> None:
    rle = coco.encode(np.asfortranarray(np.full((30, 40), value), dtype=np.uint8))
    assert (mask_of_rle({"size": [30, 40], "counts": rle["counts"].decode()}) == value).all()


@pytest.mark.parametrize("counts", ["", "1", "0" * 5, "oooo"])
def test_runs_that_do_not_fill_the_mask_are_refused(counts: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        mask_of_rle({"size": [30, 40], "counts": counts})


@pytest.mark.parametrize("original", [(1200, 1800), (700, 500), (64, 64), (3, 4000), (1024, 1024)])
def test_full_size_logits_are_those_of_postprocess_masks(original: tuple[int, int]) -> None:
    logits = np.random.default_rng(1).normal(0, 10, (2, 256, 256)).astype(np.float32)
    frame = SAM1.frame.inside(original)
    padded = torch.nn.functional.interpolate(torch.tensor(logits)[None], (1024, 1024), mode="bilinear")
    full = torch.nn.functional.interpolate(padded[..., : frame[0], : frame[1]], original, mode="bilinear")
    np.testing.assert_allclose(full_size_logits(logits, original), full[0].numpy(), atol=1e-4)


def test_full_size_logits_above_zero_are_the_masks_of_the_service() -> None:
    noise = np.random.default_rng(2).normal(0, 5, (1, 16, 16)).astype(np.float32)
    logits = np.ascontiguousarray(np.kron(noise, np.ones((1, 16, 16), np.float32)))
    encoded = encode_masks(mask_runs, logits, (300, 500), MaskFormat.RLE)[0]
    np.testing.assert_array_equal(full_size_logits(logits, (300, 500))[0] > 0, mask_of_rle(encoded.payload))


def test_logits_survive_as_float16() -> None:
    logits = np.random.default_rng(3).normal(0, 10, (256, 256)).astype(np.float32)
    logits[0, :2] = 1e9, -1e9
    found = logits_of(logits_text(logits))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, logits.clip(-65504, 65504).astype(np.float16))


def test_an_embedding_becomes_float32() -> None:
    file = io.BytesIO()
    np.save(file, np.ones((1, 256, 64, 64), np.float16))
    found = embedding_of(file.getvalue())
    assert (found.dtype, found.shape) == (np.float32, (1, 256, 64, 64))


def test_the_embedding_of_several_arrays_is_taken_out() -> None:
    file = io.BytesIO()
    np.savez(file, embedding=np.ones((1, 256, 64, 64), np.float16), other=np.zeros(3))
    found = embedding_of(file.getvalue())
    assert (found.dtype, found.shape, found.min()) == (np.float32, (1, 256, 64, 64), 1)
    damaged = file.getvalue()[:-30]
    without = io.BytesIO()
    np.savez(without, other=np.zeros(3))
    for data in (damaged, without.getvalue()):
        with pytest.raises(UnexpectedAnswer):
            embedding_of(data)


@pytest.mark.parametrize("shape", [(), (1, 256, 64), (1, 3, 64, 64)])
def test_anything_else_is_no_embedding(shape: tuple[int, ...]) -> None:
    file = io.BytesIO()
    np.save(file, np.ones(shape, np.float16))
    for data in (file.getvalue(), b"", b"text", file.getvalue()[:20]):
        with pytest.raises(UnexpectedAnswer):
            embedding_of(data)


def test_pixels_survive_the_way_to_the_service() -> None:
    image = np.random.default_rng(4).integers(0, 256, (37, 53, 3), np.uint8)
    np.testing.assert_array_equal(decode_image(png_of(image), max_pixels=10_000), image)
    np.testing.assert_array_equal(decode_image(png_of(image[..., ::-1]), max_pixels=10_000), image[..., ::-1])


@pytest.mark.parametrize("original", [(1200, 1800), (534, 800), (700, 333)])
def test_points_survive_the_way_to_the_input_frame_and_back_bit_for_bit(original: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    frame = (rng.uniform(-0.5, 1.5, (1000, 2)) * 1024).astype(np.float32)
    there = ResizeLongestSide().apply_coords(to_original(frame, original), original).astype(np.float32)
    np.testing.assert_array_equal(there, frame)


def test_polygons_of_coco_cover_the_mask_with_its_holes() -> None:
    mask = np.zeros((120, 160), bool)
    mask[10:100, 10:120] = mask[105:115, 130:150] = True
    mask[30:60, 30:50] = mask[70:80, 60:90] = False
    parts = coco_polygons(encode_polygons(runs_of(mask)))
    assert len(parts) == 2
    drawn = coco.decode(coco.merge(coco.frPyObjects(parts, 120, 160))).astype(bool)
    assert (drawn & mask).sum() / (drawn | mask).sum() > 0.97


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_a_mask_file_of_any_kind_is_read(mode: str, tmp_path: Path) -> None:
    mask = np.random.default_rng(1).random((20, 30)) < 0.5
    image = Image.fromarray((mask * (1 if mode == "P" else 255)).astype(np.uint8))
    if mode == "P":
        image.putpalette([0, 0, 0, 0, 0, 0])
    elif mode == "I;16":
        image = Image.fromarray(mask.astype(np.uint16) * 40_000)
    else:
        image = image.convert(mode)
    image.save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), mask)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float32])
def test_a_mask_prompt_is_read_by_the_service(dtype: type) -> None:
    mask = np.random.default_rng(1).random((20, 30)) < 0.5
    found = PngMask.read(base64.b64decode(mask_prompt(mask.astype(dtype))["png"])).runs()
    assert np.array_equal(painted(found), mask)
    with pytest.raises(ValueError, match="shape"):
        mask_prompt(mask[None])
