"""Turns the mask decoder's low-res logits into masks as an answer carries them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.cleaning import Cleaning, clean
from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.masks.png import encode_png
from prompt_api.masks.polygons import encode_polygons
from prompt_api.masks.rle import encode_rle
from prompt_api.masks.runs import ColumnRuns, placed
from shared.contract.geometry import Size
from shared.contract.region import Region

_FLOAT16_MAX = float(np.finfo(np.float16).max)


MaskWriter = Callable[[ColumnRuns], Any]
"""Makes the payload of a mask from its runs."""

MaskRuns = Callable[[NDArray[np.float32], Size], ColumnRuns]
"""Turns the low-res logits of one mask into the mask at the size of the original. Each model has its own function."""


def in_place(mask_runs: MaskRuns, region: Region | None) -> MaskRuns:
    """Return the function that makes masks of the whole image from logits over a region. Outside they are empty.

    Without a region that is `mask_runs`.
    """
    if region is None:
        return mask_runs

    def runs(logits: NDArray[np.float32], original: Size) -> ColumnRuns:
        return placed(mask_runs(logits, region.size), region, original)

    return runs


def cleaned(mask_runs: MaskRuns, cleaning: Cleaning, clicks: Sequence[tuple[float, float]]) -> MaskRuns:
    """Return the function that makes masks with `mask_runs` and cleans them. With nothing to clean that is `mask_runs`.

    Args:
        clicks: (x, y) of the positive points of the prompt, in pixels of the masks.
    """
    if cleaning.changes_nothing:
        return mask_runs
    places = np.array(clicks, dtype=np.float64).reshape(-1, 2)
    return lambda logits, original: clean(mask_runs(logits, original), cleaning, places)


def within(form: MaskFormat, tolerance: float) -> MaskFormat | MaskWriter:
    """Return what writes masks in `form`, and polygons that may leave the mask's edge by `tolerance` pixels."""
    return partial(encode_polygons, tolerance=tolerance) if tolerance and form is MaskFormat.POLYGONS else form


def encode_masks(
    mask_runs: MaskRuns, logits: NDArray[np.float32], original: Size, form: MaskFormat | MaskWriter
) -> list[EncodedMask]:
    """Return each mask at the size of the original, in the form asked for.

    Args:
        mask_runs: that of the model that computed the logits.
        logits: (K, S, S) float32, finite, S being the model's `low_res_side`. Not changed.
        original: (height, width) of the EXIF-oriented original.
    """
    return [encode_mask(mask_runs, one, original, form) for one in logits]


def encode_mask(
    mask_runs: MaskRuns,
    logits: NDArray[np.float32],
    original: Size,
    form: MaskFormat | MaskWriter,
    low_res: NDArray[np.float32] | None = None,
) -> EncodedMask:
    """Do what `encode_masks` does, for the (S, S) logits of a single mask.

    Args:
        low_res: the logits that `MaskFormat.LOGITS` writes, (S, S) float32; `logits` if it is None.
    """
    runs = mask_runs(logits, original)
    if form is MaskFormat.LOGITS:
        payload = base64_logits(logits if low_res is None else low_res)
        return EncodedMask(area=runs.area, bbox=runs.bbox, payload=payload)
    return encode_runs(runs, form)


def encode_runs(runs: ColumnRuns, form: MaskFormat | MaskWriter) -> EncodedMask:
    """Return a mask in the form asked for, which is not `MaskFormat.LOGITS`."""
    payload = _PAYLOADS[form](runs) if isinstance(form, MaskFormat) else form(runs)
    return EncodedMask(area=runs.area, bbox=runs.bbox, payload=payload)


def base64_logits(logits: NDArray[np.float32]) -> str:
    """Return the (S, S) logits as base64 of little-endian float16, row by row, clipped to float16's finite range."""
    return base64.b64encode(logits.clip(-_FLOAT16_MAX, _FLOAT16_MAX).astype("<f2").tobytes()).decode("ascii")


def _base64_png(runs: ColumnRuns) -> str:
    return base64.b64encode(encode_png(runs)).decode("ascii")


_PAYLOADS: Mapping[MaskFormat, Callable[[ColumnRuns], Any]] = MappingProxyType(
    {
        MaskFormat.RLE: encode_rle,
        MaskFormat.PNG: _base64_png,
        MaskFormat.POLYGONS: encode_polygons,
    }
)
