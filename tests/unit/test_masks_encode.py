"""Logits become the masks of an answer: each format, with only the requested members."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from prompt_api.masks.encode import encode_masks
from prompt_api.masks.interface import MaskFormat
from prompt_api.models.sam1.boundary import mask_runs
from tests.support.masks_material import coco_decoded, logits_of_sam, smooth_logits

SIZE = (400, 600)
LOGITS = np.stack([smooth_logits(seed) for seed in range(3)])


@pytest.mark.parametrize("form", MaskFormat)
def test_every_form_tells_area_and_box_of_sams_mask(form: MaskFormat) -> None:
    for logits, encoded in zip(LOGITS, encode_masks(mask_runs, LOGITS, SIZE, form), strict=True):
        mask = logits_of_sam(logits, SIZE) > 0
        y, x = np.nonzero(mask)
        assert encoded.area == mask.sum()
        assert encoded.bbox == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
        json.dumps([encoded.area, encoded.bbox, encoded.payload])


def test_an_rle_is_the_mask() -> None:
    for logits, encoded in zip(LOGITS, encode_masks(mask_runs, LOGITS, SIZE, MaskFormat.RLE), strict=True):
        assert encoded.payload["size"] == [400, 600]
        assert (coco_decoded(encoded.payload) == (logits_of_sam(logits, SIZE) > 0)).all()


def test_a_png_is_the_mask() -> None:
    for logits, encoded in zip(LOGITS, encode_masks(mask_runs, LOGITS, SIZE, MaskFormat.PNG), strict=True):
        with Image.open(io.BytesIO(base64.b64decode(encoded.payload))) as image:
            assert (np.asarray(image) == (logits_of_sam(logits, SIZE) > 0)).all()


def test_polygons_have_the_area_of_the_mask() -> None:
    for encoded in encode_masks(mask_runs, LOGITS, SIZE, MaskFormat.POLYGONS):
        area = 0
        for polygon in encoded.payload:
            for ring in (polygon["outer"], *polygon["holes"]):
                area += sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True))
        assert area == 2 * encoded.area


def test_logits_come_back_as_float16() -> None:
    for logits, encoded in zip(LOGITS, encode_masks(mask_runs, LOGITS, SIZE, MaskFormat.LOGITS), strict=True):
        back = np.frombuffer(base64.b64decode(encoded.payload), dtype="<f2").reshape(256, 256)
        assert (back == logits.astype(np.float16)).all()


def test_logits_beyond_float16_stay_finite() -> None:
    (encoded,) = encode_masks(mask_runs, np.full((1, 256, 256), 1e9, dtype=np.float32), SIZE, MaskFormat.LOGITS)
    assert np.isfinite(np.frombuffer(base64.b64decode(encoded.payload), dtype="<f2")).all()


def test_no_masks_are_no_work() -> None:
    assert encode_masks(mask_runs, LOGITS[:0], SIZE, MaskFormat.RLE) == []


@pytest.mark.parametrize("form", MaskFormat)
def test_three_masks_of_fifty_megapixels_take_less_than_fifty_megabytes(form: MaskFormat) -> None:
    tracemalloc.start()
    try:
        encode_masks(mask_runs, LOGITS, (5773, 8660), form)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000
