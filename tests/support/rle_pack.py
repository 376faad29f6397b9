"""A simple decoder of Label Studio's brush format. Tests compare our encoder with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.contract.geometry import Size


def decode_brush(packed: Sequence[int], size: Size) -> NDArray[np.bool_]:
    """Return the (height, width) mask in `value.rle`. All four channels must be equal.

    Source: thi.ng/umbrella, packages/rle-pack.
    """
    bits = "".join(f"{byte:08b}" for byte in packed)
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total = read(32)
    word = read(5) + 1
    lengths = [read(4) + 1 for _ in range(4)]
    values = np.zeros(total, dtype=np.uint8)
    done = 0
    while done < total:
        is_run = read(1)
        stop = done + 1 + read(lengths[read(2)])
        if is_run:
            values[done:stop] = read(word)
        else:
            values[done:stop] = [read(word) for _ in range(stop - done)]
        done = stop
    rgba = values.reshape(*size, 4)
    inside: NDArray[np.bool_] = rgba[..., 3] > 127
    return inside
