"""The plain way, PerSAM's: the mean feature of the example, and a prompt wherever the image is most like it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.low_res import low_res_logits
from prompt_api.masks.runs import ColumnRuns
from prompt_api.similar.interface import ImageFeatures
from prompt_api.similar.looks import PLACES, coverage
from shared.contract.models import SAM1

AREAS = (0.4, 2.5)
"""A mask is kept if its area is between these factors of the example's."""


def by_mean_feature(
    decoder: Any, prepared: Any, features: ImageFeatures, example: tuple[ImageFeatures, ColumnRuns], decodes: int
) -> list[tuple[float, ColumnRuns]]:
    """Return (cosine, mask) of each thing found, with at most so many decodes.

    Each place's features, of length 1, are compared with the mean over the example's mask. The best place is prompted,
    the mask of the best score among those of a fitting area is kept, and what it covers is blanked.

    Args:
        example: the features of its image, which may be another one, and its mask. In the same image, what it covers
            is blanked from the start.

    Source: Zhang et al., "Personalize Segment Anything Model with One Shot" (2023), repeated for many things.
    """
    own, mask = example
    side = SAM1.low_res_side
    low_res = low_res_logits(mask, SAM1.frame, side, own.size, (0, 0))[None] > 0
    vectors = _unit(own)
    weight = coverage(low_res, vectors.shape[:2])[0]
    mean = (vectors * weight[..., None]).sum(axis=(0, 1))
    cosine = _unit(features) @ (mean / np.linalg.norm(mean))
    if own is features:
        cosine[weight > 0.5] = -np.inf
    share = mask.area / (own.size[0] * own.size[1])
    found = []
    for _ in range(decodes):
        row, column = divmod(int(np.argmax(cosine)), cosine.shape[1])
        best = float(cosine[row, column])
        if best == -np.inf:
            break
        cosine[row, column] = -np.inf
        point = (np.array([[column, row]], np.float32) + np.float32(0.5)) * np.float32(SAM1.frame.side / PLACES)
        (masks,) = decoder.decode_points(prepared, point, 0)
        areas = decoder.areas_above(masks.logits, np.zeros(1, np.float32), features.size)[:, 0]
        factor = areas / (share * features.size[0] * features.size[1])
        fits = np.flatnonzero((factor >= AREAS[0]) & (factor <= AREAS[1]))
        if fits.size:
            logits = masks.logits[fits[np.argmax(masks.scores[fits])]]
            found.append((best, decoder.mask_runs(logits, features.size)))
            cosine[coverage(logits[None] > 0, cosine.shape)[0] > 0.5] = -np.inf
    return found


def _unit(features: ImageFeatures) -> NDArray[np.float32]:
    vectors = features.vectors.astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=2, keepdims=True).clip(min=1e-6))
