"""One axis of torch's bilinear resize: which inputs each output reads, and how it weighs them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Output k is `(1 - weight[k]) * input[lower[k]] + weight[k] * input[lower[k] + 1]`.

    Attributes:
        lower: (outputs,) int64, in ascending order (values may repeat), each below `inputs`.
        weight: (outputs,) float32 in [0, 1); 0 where the upper input would lie beyond the last one.
        first: (inputs + 1,) int64. `first[i]` is the first output whose `lower` is at least i; `first[inputs]` is
            `outputs`.
    """

    lower: NDArray[np.int64]
    weight: NDArray[np.float32]
    first: NDArray[np.int64]


@lru_cache(maxsize=16)
def resize_axis(inputs: int, outputs: int) -> Axis:
    """Return the exact axis of `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`, bit by bit.

    Source: `area_pixel_compute_source_index` and `compute_indices_weights` of ATen's UpSample kernels.
    """
    scale = np.float64(np.float32(inputs) / np.float32(outputs))
    # ATen's float32 kernel fuses the multiply and the subtract, and so rounds once. float64 holds the product exactly,
    # so this rounds to float32 once as well.
    source = (scale * (np.arange(outputs) + 0.5) - 0.5).astype(np.float32).clip(min=0)
    lower = np.minimum(source.astype(np.int64), inputs - 1)
    weight = source - lower.astype(np.float32)
    weight[lower == inputs - 1] = 0
    axis = Axis(lower, weight, np.searchsorted(lower, np.arange(inputs + 1)))
    for array in (axis.lower, axis.weight, axis.first):
        array.setflags(write=False)
    return axis
