"""Suppression of boxes, compared with a loop over pairs."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from prompt_api.everything.suppression import kept_boxes
from tests.support.automatic import batched_nms


def boxes_of(values: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array([(x, y, x + wide, y + high) for x, y, wide, high in values], np.int64).reshape(-1, 4)


@given(
    values=st.lists(st.tuples(*[st.integers(0, 12)] * 4, st.integers(0, 3)), max_size=40),
    most=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
)
def test_boxes_are_kept_as_torchvision_keeps_them(values: list[tuple[int, ...]], most: float) -> None:
    boxes = boxes_of([(x, y, wide, high) for x, y, wide, high, _ in values])
    scores = np.array([score for *_, score in values], np.float32)
    theirs = batched_nms(torch.tensor(boxes).float(), torch.tensor(scores), torch.zeros(len(values)), most)
    assert kept_boxes(boxes, scores, most).tolist() == theirs.tolist()


def test_of_equal_scores_the_first_stays() -> None:
    boxes = boxes_of([(0, 0, 10, 10), (0, 0, 10, 10), (100, 0, 10, 10)])
    assert kept_boxes(boxes, np.array([1, 1, 2], np.float32), 0.5).tolist() == [2, 0]


def test_a_dropped_box_drops_no_other() -> None:
    boxes = boxes_of([(0, 0, 10, 10), (4, 0, 10, 10), (8, 0, 10, 10)])
    assert kept_boxes(boxes, np.array([3, 2, 1], np.float32), 0.4).tolist() == [0, 2]


def test_boxes_without_area_stay() -> None:
    boxes = boxes_of([(5, 5, 0, 0), (5, 5, 0, 0)])
    assert kept_boxes(boxes, np.ones(2, np.float32), 0.0).tolist() == [0, 1]


def test_an_iou_that_equals_the_limit_stays() -> None:
    boxes = boxes_of([(0, 0, 10, 10), (0, 0, 10, 5)])
    assert len(kept_boxes(boxes, np.array([2, 1], np.float32), 0.5)) == 2
    assert len(kept_boxes(boxes, np.array([2, 1], np.float32), 0.49)) == 1
