"""A prompt in a region gives the masks of `SamPredictor` on the cropped array. `python -m bench.regions` has more."""

from __future__ import annotations

from pathlib import Path

from bench.regions.parity import LEAST_IOU, compare
from shared.contract.settings import Settings


def test_masks_of_regions_are_those_of_the_cropped_array_put_back_in_its_place(weights: Path) -> None:
    found = compare(Settings(weights_path=str(weights)), [(900, 1300)], regions=3, prompts=16)
    assert (found.regions, found.prompts) == (3, 16)
    assert len(found.ious) > 20
    assert min(found.ious) >= LEAST_IOU
