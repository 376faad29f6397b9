"""Non-maximum suppression of boxes, with the results of torchvision's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def kept_boxes(boxes: NDArray[np.int64], scores: NDArray[np.float32], most_iou: float) -> NDArray[np.int64]:
    """Return the indices of the boxes that stay, by falling score; of equal scores, the earlier box comes first.

    A box is dropped if its IoU with a better box that stays is larger than `most_iou`. Two boxes without area never
    drop each other.

    Args:
        boxes: (N, 4) as (x0, y0, x1, y1).
        scores: (N,), finite.

    Source: `nms_kernel` of torchvision's CPU operators: float32, but the IoU is compared in float64.
    """
    order = np.argsort(-scores, kind="stable")
    x0, y0, x1, y1 = boxes.astype(np.float32)[order].T
    areas = (x1 - x0) * (y1 - y0)
    dropped = np.zeros(len(order), dtype=bool)
    kept = []
    for index in range(len(order)):
        if dropped[index]:
            continue
        kept.append(order[index])
        rest = slice(index + 1, None)
        wide = np.minimum(x1[index], x1[rest]) - np.maximum(x0[index], x0[rest])
        high = np.minimum(y1[index], y1[rest]) - np.maximum(y0[index], y0[rest])
        shared = wide.clip(min=0) * high.clip(min=0)
        with np.errstate(invalid="ignore"):  # 0 / 0 is no overlap
            iou = shared / (areas[index] + areas[rest] - shared)
        dropped[rest] |= iou.astype(np.float64) > most_iou
    return np.array(kept, dtype=np.int64)
