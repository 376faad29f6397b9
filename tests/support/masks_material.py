"""Shared by the tests of masks: logits to resize, masks as plain arrays, and torch's own answer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco
from torch.nn.functional import interpolate

from prompt_api.masks.runs import ColumnRuns
from shared.contract.geometry import Size
from shared.contract.models import SAM1


def smooth_logits(seed: int, detail: int = 6) -> NDArray[np.float32]:
    """Return (256, 256) random waves of about +-20, at most `detail` periods per side: parts, holes, long borders."""
    rng = np.random.default_rng(seed)
    spectrum = np.zeros((256, 256), dtype=complex)
    shape = (2 * detail + 1, 2 * detail + 1)
    waves = np.arange(-detail, detail + 1)
    spectrum[np.ix_(waves, waves)] = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    field = np.fft.ifft2(spectrum).real
    return np.asarray(field / np.abs(field).max() * 20, np.float32)


def noisy_logits(seed: int) -> NDArray[np.float32]:
    """Return (256, 256) noise without any structure: the sign changes everywhere."""
    return np.random.default_rng(seed).normal(size=(256, 256)).astype(np.float32)


def logits_of_sam(logits: NDArray[np.float32], original: Size) -> NDArray[np.float32]:
    """Logits of (height, width) as `Sam.postprocess_masks` computes them; `predict` thresholds them at 0."""
    height, width = SAM1.frame.inside(original)
    frame = interpolate(torch.from_numpy(logits)[None, None], (1024, 1024), mode="bilinear", align_corners=False)
    return interpolate(frame[..., :height, :width], original, mode="bilinear", align_corners=False)[0, 0].numpy()


def logits_of_sam2(logits: NDArray[np.float32], original: Size) -> NDArray[np.float32]:
    """Logits of (height, width) as `SAM2Transforms.postprocess_masks` computes them; `predict` thresholds them at 0."""
    low_res = torch.from_numpy(logits)[None, None]
    return interpolate(low_res, original, mode="bilinear", align_corners=False)[0, 0].numpy()


def painted(runs: ColumnRuns) -> NDArray[np.bool_]:
    """Return the mask that `runs` describe, as an array."""
    mask = np.zeros(runs.size, dtype=bool)
    for x, top, bottom in zip(runs.x, runs.top, runs.bottom, strict=True):
        assert not mask[max(0, top - 1) : bottom + 1, x].any(), "runs overlap or touch"
        mask[top:bottom, x] = True
    return mask


def runs_of(mask: NDArray[np.bool_]) -> ColumnRuns:
    """Return the vertical runs of a (height, width) mask, found in the simplest way."""
    height, width = mask.shape
    changes = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0).T
    x, top = np.nonzero(changes == 1)
    _, bottom = np.nonzero(changes == -1)
    return ColumnRuns((height, width), x, top, bottom)


def coco_encoded(mask: NDArray[np.bool_]) -> str:
    """Return the counts of a mask's compressed RLE, written by pycocotools."""
    return str(coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii"))


def coco_decoded(rle: Any) -> NDArray[np.bool_]:
    """Return the mask of a compressed RLE, decoded by pycocotools."""
    with warnings.catch_warnings():
        # pycocotools does not support numpy 2's `__array__(copy=)` yet.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return np.asarray(coco.decode(rle), dtype=bool)
