"""The options of everything mode: their ranges, their defaults, their text."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from prompt_api.everything.options import EverythingOptions, Mode
from shared.contract.errors import InvalidParameter
from tests.support.automatic import SamAutomaticMaskGenerator


def test_the_defaults_are_those_of_segment_anything() -> None:
    theirs = inspect.signature(SamAutomaticMaskGenerator).parameters
    ours = json.loads(EverythingOptions().canonical)
    assert ours.pop("mode") == "exact"
    assert ours == {name: theirs[name].default for name in ours}


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("points_per_side", 1, 128),
        ("crop_n_layers", 0, 3),
        ("crop_n_points_downscale_factor", 1, 8),
        ("min_mask_region_area", 0, 2**31 - 1),
        ("pred_iou_thresh", 0, 1),
        ("stability_score_thresh", 0, 1),
        ("stability_score_offset", 0, 32),
        ("box_nms_thresh", 0, 1),
        ("crop_nms_thresh", 0, 1),
        ("crop_overlap_ratio", 0, 1),
    ],
)
def test_each_option_has_a_range_and_its_error_names_it(name: str, least: int, most: int) -> None:
    others = {"points_per_side": 8, "crop_n_points_downscale_factor": 1} if name == "crop_n_layers" else {}
    for value in (least, most):
        assert getattr(EverythingOptions.of(others | {name: value}), name) == value
    wrong: tuple[Any, ...] = (least - 1, most + 1, "1", True, None, float("nan"), float("inf"), [1])
    for value in wrong:
        with pytest.raises(InvalidParameter, match=f"^{name}="):
            EverythingOptions.of({name: value})


def test_whole_numbers_have_no_fraction() -> None:
    with pytest.raises(InvalidParameter, match=r"points_per_side=32\.0"):
        EverythingOptions.of({"points_per_side": 32.0})


def test_every_option_out_of_range_is_named_at_once() -> None:
    with pytest.raises(InvalidParameter) as caught:
        EverythingOptions.of({"points_per_side": 0, "pred_iou_thresh": 2, "mode": "slow"})
    for name in ("points_per_side=0", "pred_iou_thresh=2", "mode='slow'"):
        assert name in caught.value.detail


def test_an_unknown_option_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match="unknown: 'points_per_batch'; the options are points_per_side, "):
        EverythingOptions.of({"points_per_batch": 64})


def test_crops_without_a_point_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="crop_n_points_downscale_factor=4 leave the smallest crops without"):
        EverythingOptions(points_per_side=3, crop_n_layers=1, crop_n_points_downscale_factor=4)


def test_the_points_of_all_crops_together_are_bounded() -> None:
    assert EverythingOptions(points_per_side=128).points_of_layer(0) == 128
    with pytest.raises(InvalidParameter, match="ask for 81920 points; at most 32768"):
        EverythingOptions(points_per_side=128, crop_n_layers=1)
    EverythingOptions(points_per_side=128, crop_n_layers=1, crop_n_points_downscale_factor=2)


def test_equal_options_have_one_text() -> None:
    given = EverythingOptions.of({"pred_iou_thresh": 1, "stability_score_offset": -0.0, "mode": "fast"})
    same = EverythingOptions(pred_iou_thresh=1.0, stability_score_offset=0, mode=Mode.FAST)
    assert given == same
    assert given.canonical == same.canonical
    assert given.canonical != EverythingOptions().canonical
    assert EverythingOptions.of(json.loads(given.canonical)) == given


def test_layers_have_fewer_points_by_the_factor() -> None:
    options = EverythingOptions(points_per_side=10, crop_n_layers=2, crop_n_points_downscale_factor=3)
    assert [options.points_of_layer(layer) for layer in range(3)] == [10, 3, 1]
