"""The mask encoders: every format contains the same pixels, and they are those of `SamPredictor.predict`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from prompt_api.masks.cleaning import Cleaning, Keep, clean
from prompt_api.masks.encode import encode_masks
from prompt_api.masks.given import RleMask
from prompt_api.masks.interface import MaskFormat
from prompt_api.masks.png import encode_png
from prompt_api.masks.polygons import Ring, encode_polygons
from prompt_api.masks.rle import encode_rle
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.sam1.boundary import mask_runs
from tests.support.masks_material import coco_decoded, logits_of_sam, painted, runs_of

MOST_SIDE = 400
_ROUNDING = 1e-6
_SMALLEST, _LARGEST = 1e-20, 1e30  # the service takes smaller values for 0; products of larger ones overflow float32


def check(data: bytes) -> None:
    """Check the bytes. The first says what the rest is: the pixels of a mask, or logits and the size of their image."""
    if data[:1] == b"m":
        mask = _mask(data[1:])
        _check_forms(runs_of(mask), mask)
    else:
        _check_logits(data[1:])


def seeds() -> Iterator[bytes]:
    for width in (1, 7, 8, 9, 40):
        yield b"m" + bytes([width]) + bytes(range(60))
    yield b"m" + bytes([9]) + bytes.fromhex("ff8141a5b5a541") * 3
    for height, width, side in ((1, 1, 1), (40, 60, 3), (300, 200, 16), (399, 2, 5), (7, 400, 9)):
        numbers = np.sin(np.arange(side * side) * 1.7).astype("<f4") * 20
        yield b"l" + height.to_bytes(2, "little") + width.to_bytes(2, "little") + bytes([side]) + numbers.tobytes()


def _mask(data: bytes) -> NDArray[np.bool_]:
    """Return a mask at most 255 wide, from one bit for each pixel."""
    width = max(1, data[0] if data else 1)
    bits = np.unpackbits(np.frombuffer(data[1:2049] or b"\0", np.uint8))
    height = max(1, len(bits) // width)
    return np.resize(bits, (height, width)).astype(bool)


def _check_logits(data: bytes) -> None:
    """Check height u16 | width u16 | side u8 | float32 numbers, repeated to side x side, then scaled to 256 x 256."""
    head = data[:5].ljust(5, b"\1")
    height, width = (int.from_bytes(head[at : at + 2], "little") % MOST_SIDE + 1 for at in (0, 2))
    side = head[4] % 64 + 1
    numbers = np.frombuffer(data[5 : 5 + (len(data) - 5) // 4 * 4] if len(data) > 8 else bytes(4), "<f4")
    coarse = np.resize(_plausible(numbers), (side, side))
    at = np.arange(256) * side // 256
    logits = np.ascontiguousarray(coarse[np.ix_(at, at)])
    runs = mask_runs(logits, (height, width))
    mask = painted(runs)
    expected = logits_of_sam(logits, (height, width))
    # Where torch fuses a multiplication and an addition, a value that cancels out may round to the other sign.
    assert np.abs(expected[mask != (expected > 0)]).max(initial=0) <= _ROUNDING * np.abs(logits).max()
    (rle, png) = (
        encode_masks(mask_runs, logits[None], (height, width), form)[0] for form in (MaskFormat.RLE, MaskFormat.PNG)
    )
    assert rle.payload == encode_rle(runs)
    assert base64.b64decode(png.payload) == encode_png(runs)
    assert (rle.area, rle.bbox) == (runs.area, runs.bbox)


def _plausible(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the numbers as a decoder may give them: finite, not huge, and not so small that rounding sets the sign."""
    kept = np.nan_to_num(numbers.astype(np.float32)).clip(-_LARGEST, _LARGEST)
    kept[np.abs(kept) < _SMALLEST] = 0
    return kept


def _check_forms(runs: ColumnRuns, mask: NDArray[np.bool_]) -> None:
    rle = encode_rle(runs)
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle == {"size": expected["size"], "counts": expected["counts"].decode()}
    assert np.array_equal(coco_decoded(rle), mask)
    assert runs.area == mask.sum() == coco.area(expected)
    assert list(runs.bbox) == coco.toBbox(expected).tolist()
    with Image.open(BytesIO(encode_png(runs))) as png:
        assert png.mode == "1"
        assert np.array_equal(np.asarray(png), mask)
    assert np.array_equal(painted(RleMask(runs.size, rle["counts"]).runs()), mask)
    _check_cleaning(runs)
    filled = np.zeros_like(mask)
    for polygon in encode_polygons(runs):
        for ring in (polygon["outer"], *polygon["holes"]):
            filled ^= _filled(ring, mask.shape)
    assert np.array_equal(filled, mask)


def _check_cleaning(runs: ColumnRuns) -> None:
    exact, near = encode_polygons(runs), encode_polygons(runs, 1.5)
    assert [len(polygon["holes"]) for polygon in near] == [len(polygon["holes"]) for polygon in exact]
    for polygon in near:
        assert all(len(ring) >= 3 for ring in (polygon["outer"], *polygon["holes"]))
    cleaned = clean(runs, Cleaning(4, 4, Keep.LARGEST), np.zeros((0, 2)))
    parts = encode_polygons(cleaned)
    assert len(parts) == bool(runs.area)
    again = clean(cleaned, Cleaning(4, 4, Keep.CLICKED), np.array([[3.0, 3.0]]))
    assert again.area == cleaned.area


def _filled(ring: Ring, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Paint by the even-odd rule: a pixel is inside if an odd number of vertical sides lies left of its centre."""
    inside = np.zeros(shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
        if x0 == x1:
            inside[min(y0, y1) : max(y0, y1), x0:] ^= True
    return inside
