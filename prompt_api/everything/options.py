"""The options of everything mode, by the names and with the defaults of `SamAutomaticMaskGenerator`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self

from shared.contract.errors import InvalidParameter

MAX_POINTS_PER_SIDE = 128
MAX_CROP_LAYERS = 3
MAX_DOWNSCALE_FACTOR = 8
MAX_STABILITY_OFFSET = 32.0
MAX_REGION_AREA = 2**31 - 1

MAX_PROMPTS = 32_768
"""The most points of one job, over all its crops. With the default options a job has 1024."""


class Mode(StrEnum):
    """How many points are decoded.

    EXACT: every point of the grid, as Meta's generator does. FAST: a quarter of them first, then those of the others
    that no confident mask covers.
    """

    EXACT = "exact"
    FAST = "fast"


@dataclass(frozen=True, slots=True)
class EverythingOptions:
    """What masks to look for and which to keep. Each is checked when the object is made.

    Attributes:
        points_per_side: points along each side of the grid, 1 to 128.
        pred_iou_thresh: a mask is kept if its predicted IoU is larger, 0 to 1; 0 keeps all.
        stability_score_thresh: a mask is kept if its stability is at least this, 0 to 1; 0 keeps all.
        stability_score_offset: by how much the threshold of the logits is moved both ways to measure the stability,
            0 to 32.
        box_nms_thresh: of two masks of one crop whose boxes have a larger IoU, the one of the lower score is dropped,
            0 to 1.
        crop_n_layers: layers of crops beyond the whole image, 0 to 3. Layer i has 4**i crops.
        crop_nms_thresh: the same as `box_nms_thresh`, for masks of different crops. The smaller crop wins.
        crop_overlap_ratio: by which part of the short side the crops of the first layer overlap, 0 to 1.
        crop_n_points_downscale_factor: layer i has `points_per_side` divided by this factor to the power of i, 1 to 8.
        min_mask_region_area: holes and islands of fewer pixels are removed; 0 removes none.
        mode: how many points are decoded.

    Source: segment_anything.automatic_mask_generator.SamAutomaticMaskGenerator. `mode` is not in it.
    """

    points_per_side: int = 32
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    mode: Mode = Mode.EXACT

    def __post_init__(self) -> None:
        """Check every option; whole numbers become floats where a float is meant.

        Raises:
            InvalidParameter: one or more options are out of range. The message names each of them.
        """
        wrong: list[str] = []
        for name, most in _WHOLE.items():
            value = getattr(self, name)
            if not _is_whole(value) or not _LEAST[name] <= value <= most:
                wrong.append(f"{name}={value!r} must be a whole number from {_LEAST[name]} to {most}")
        for name, limit in _REAL.items():
            value = getattr(self, name)
            if not _is_real(value) or not 0 <= value <= limit:
                wrong.append(f"{name}={value!r} must be a number from 0 to {limit:g}")
            else:
                object.__setattr__(self, name, float(value) + 0.0)  # -0.0 becomes 0.0
        try:
            object.__setattr__(self, "mode", Mode(self.mode))
        except ValueError:
            wrong.append(f"mode={self.mode!r} must be one of {', '.join(Mode)}")
        if not wrong:
            wrong.extend(self._wrong_together())
        if wrong:
            raise InvalidParameter("; ".join(wrong))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the given options, and the defaults of the others.

        Raises:
            InvalidParameter: an option is unknown or out of range. The message names each.
        """
        names = [field.name for field in fields(cls)]
        unknown = [name for name in given if name not in names]
        if unknown:
            raise InvalidParameter(f"unknown: {', '.join(map(repr, unknown))}; the options are {', '.join(names)}")
        return cls(**given)

    @property
    def canonical(self) -> str:
        """The options as text. Two objects are equal if and only if their texts are, in every version of Python."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    def points_of_layer(self, layer: int) -> int:
        """Return the points along each side of the grid in the crops of `layer`; layer 0 is the whole image."""
        # segment_anything divides as floats, then cuts off.
        return int(self.points_per_side / self.crop_n_points_downscale_factor**layer)

    def _wrong_together(self) -> Iterator[str]:
        """Yield what is wrong with options that are in range each."""
        if self.points_of_layer(self.crop_n_layers) < 1:
            yield (
                f"points_per_side={self.points_per_side}, crop_n_layers={self.crop_n_layers} and "
                f"crop_n_points_downscale_factor={self.crop_n_points_downscale_factor} leave the smallest crops "
                "without a point"
            )
        prompts = sum(4**layer * self.points_of_layer(layer) ** 2 for layer in range(self.crop_n_layers + 1))
        if prompts > MAX_PROMPTS:
            yield (
                f"points_per_side={self.points_per_side}, crop_n_layers={self.crop_n_layers} and "
                f"crop_n_points_downscale_factor={self.crop_n_points_downscale_factor} ask for {prompts} points; "
                f"at most {MAX_PROMPTS} are allowed"
            )


_WHOLE = {
    "points_per_side": MAX_POINTS_PER_SIDE,
    "crop_n_layers": MAX_CROP_LAYERS,
    "crop_n_points_downscale_factor": MAX_DOWNSCALE_FACTOR,
    "min_mask_region_area": MAX_REGION_AREA,
}
"""The largest value of each option that is a whole number."""

_LEAST = {
    "points_per_side": 1,
    "crop_n_layers": 0,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 0,
}

_REAL = {
    "pred_iou_thresh": 1.0,
    "stability_score_thresh": 1.0,
    "stability_score_offset": MAX_STABILITY_OFFSET,
    "box_nms_thresh": 1.0,
    "crop_nms_thresh": 1.0,
    "crop_overlap_ratio": 1.0,
}
"""The largest value of each option that is a real number. The least is 0."""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
