"""What is SAM 2's own in its decoder: the order of tokens, the choice of the single mask, the limit, the weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prompt_api.models.interface import DecodedMasks, Prompt
from prompt_api.models.sam2.decoder import Sam2Decoder, is_stable, sparse_prompt
from prompt_api.models.sam2.weights import from_checkpoint
from shared.contract.errors import WeightsError
from tests.support.sam2_material import drawn_weights

POINTS = np.array([[10, 20], [30, 40]], np.float32)
LABELS = np.array([1, 0])
BOX = np.array([100, 150, 700, 600], np.float32)
NO_POINTS = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)


def test_the_corners_of_a_box_come_first_and_a_padding_point_last() -> None:
    points, labels = sparse_prompt(Prompt(POINTS, LABELS, BOX))
    np.testing.assert_array_equal(points, [[100, 150], [700, 600], [10, 20], [30, 40], [0, 0]])
    np.testing.assert_array_equal(labels, [2, 3, 1, 0, -1])


def test_points_and_a_box_alone_have_a_padding_point_too() -> None:
    np.testing.assert_array_equal(sparse_prompt(Prompt(POINTS, LABELS))[1], [1, 0, -1])
    np.testing.assert_array_equal(sparse_prompt(Prompt(*NO_POINTS, BOX))[1], [2, 3, -1])


def test_a_mask_alone_has_no_sparse_token() -> None:
    points, labels = sparse_prompt(Prompt(*NO_POINTS, mask=np.zeros((256, 256), np.float32)))
    assert points.shape == (0, 2)
    assert labels.shape == (0,)
    assert points.dtype == labels.dtype == np.float32


@pytest.mark.parametrize(("between", "stable"), [(2, True), (3, False)])
def test_a_mask_is_stable_if_few_logits_lie_around_the_threshold(between: int, stable: bool) -> None:
    """97 of 99 is just below 0.98; 98 of 100 is exactly at it."""
    logits = np.concatenate([np.full(100 - between, 1), np.full(between, 0), np.full(50, -1)]).astype(np.float32)
    assert is_stable(logits) is stable


def test_a_mask_without_any_pixel_is_stable() -> None:
    assert is_stable(np.full(10, -1, np.float32))


def answered(single: float, scores: list[float]) -> tuple[int, int]:
    decoder = object.__new__(Sam2Decoder)
    logits = np.full((4, 10), single, np.float32)
    return decoder.answered(logits, np.array(scores, np.float32), multimask=False)


def test_the_single_mask_is_taken_if_it_is_stable_even_with_a_low_score() -> None:
    assert answered(1, [0.1, 0.7, 0.9, 0.8]) == (0, 1)


def test_the_best_of_the_other_masks_replaces_an_unstable_one_even_with_a_high_score() -> None:
    assert answered(0, [0.95, 0.7, 0.9, 0.8]) == (2, 3)


def test_logits_are_limited_only_where_they_are_returned() -> None:
    logits: NDArray[np.float32] = np.array([[[-50, 3, 50]]], np.float32)
    masks = DecodedMasks(logits, np.ones(1, np.float32), limit=32)
    np.testing.assert_array_equal(masks.limited(), [[[-32, 3, 32]]])
    np.testing.assert_array_equal(masks.logits, [[[-50, 3, 50]]])
    assert DecodedMasks(logits, np.ones(1, np.float32)).limited() is logits


def test_weights_are_read_under_the_names_of_the_checkpoint() -> None:
    given = drawn_weights(0)
    read = from_checkpoint({**given, "image_encoder.trunk.pos_embed": np.zeros(3, np.float32)})
    assert len(read) == len(given)
    name = "mask_decoder.transformer.layers.1.mlp.lin2.weight"
    assert read[name] is given["sam_mask_decoder.transformer.layers.1.mlp.layers.1.weight"]
    assert read["mask_decoder.obj_score_token.weight"] is given["sam_mask_decoder.obj_score_token.weight"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "sam_mask_decoder.obj_score_token.weight",
            None,
            "not a SAM 2 mask decoder: 1 weights are missing",
        ),
        ("sam_mask_decoder.obj_score_token.weight", np.zeros((2, 256)), "has shape"),
        ("sam_mask_decoder.transformer.layers.0.mlp.layers.0.bias", np.full(2048, np.nan), "not finite"),
    ],
)
def test_other_weights_are_refused_by_the_name_in_the_checkpoint(
    name: str, value: NDArray[np.float64] | None, says: str
) -> None:
    given: dict[str, NDArray[np.floating]] = {**drawn_weights(0)}
    if value is None:
        del given[name]
    else:
        given[name] = value
    with pytest.raises(WeightsError, match=says) as refused:
        from_checkpoint(given)
    assert name in refused.value.detail
