"""COCO compressed run-length encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools.mask import frPyObjects

from prompt_api.masks.runs import ColumnRuns, odd_ones


def encode_rle(runs: ColumnRuns) -> dict[str, Any]:
    """Return `{"size": [height, width], "counts": "…"}` as `pycocotools.mask.encode` does, with `counts` as text.

    Source: common/maskApi.c of cocodataset/cocoapi. Only its compression is used, because the counts are already known.
    """
    height, width = runs.size
    flat = np.stack([runs.x * height + runs.top, runs.x * height + runs.bottom], axis=1).reshape(-1)
    changes = odd_ones(flat)
    counts = np.diff(changes, prepend=0, append=height * width)
    if changes.size and counts[-1] == 0:
        counts = counts[:-1]
    compressed = frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": compressed["counts"].decode("ascii")}
