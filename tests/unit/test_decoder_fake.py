"""The fake decoder without weights is deterministic and plausible, and has the shapes of the real one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.fake.decoder import FakeDecoder
from prompt_api.models.interface import DecodedMasks, Prompt

NO_POINTS = np.zeros((0, 2), np.float32)


def red_square_on_blue() -> NDArray[np.float32]:
    """The fake encoder's embedding of a 1024x768 image: blue, with a red square over (256, 256)-(512, 512)."""
    embedding = np.zeros((1, 256, 64, 64), np.float32)
    embedding[0, 2, :48] = 1
    embedding[0, :3, 16:32, 16:32] = np.array([1, 0, 0], np.float32)[:, None, None]
    embedding[0, 3, :48] = 1
    return embedding


def decode(prompt: Prompt, *, multimask: bool = True) -> DecodedMasks:
    decoder = FakeDecoder()
    (masks,) = decoder.decode(
        decoder.prepare({"embedding": red_square_on_blue()}, (768, 1024)), [prompt], multimask=multimask
    )
    return masks


def click(x: float, y: float, label: int = 1) -> Prompt:
    return Prompt(np.array([[x, y]], np.float32), np.array([label]))


def test_a_click_finds_what_has_the_colour_under_it() -> None:
    expected = np.zeros((256, 256), bool)
    expected[64:128, 64:128] = True
    for logits in decode(click(300, 300)).logits:
        np.testing.assert_array_equal(logits > 0, expected)


def test_no_mask_reaches_into_the_padding() -> None:
    assert not (decode(click(900, 700)).logits[:, 192:] > 0).any()


def test_three_masks_are_nested_and_scored_in_order() -> None:
    masks = decode(click(300, 300))
    assert masks.logits.shape == (3, 256, 256)
    assert masks.logits.dtype == masks.scores.dtype == np.float32
    assert (np.diff(masks.scores) < 0).all()
    assert (np.diff((masks.logits > 0).astype(int), axis=0) >= 0).all()


def test_a_single_mask_is_one() -> None:
    assert decode(click(300, 300), multimask=False).logits.shape == (1, 256, 256)


def test_a_box_limits_the_mask() -> None:
    prompt = Prompt(NO_POINTS, np.zeros(0, np.int64), box=np.array([300, 300, 400, 400], np.float32))
    rows, columns = np.nonzero(decode(prompt).logits[0] > 0)
    assert rows.min() == columns.min() == 75
    assert rows.max() == columns.max() == 99


def test_a_background_point_takes_its_colour_away() -> None:
    prompt = Prompt(np.array([[300, 300], [310, 310]], np.float32), np.array([1, 0]))
    assert not (decode(prompt).logits > 0).any()


def test_a_mask_alone_gives_itself_back_inside_the_image() -> None:
    mask = np.where(np.arange(256)[:, None] < 100, 5, -5) * np.ones((256, 256))
    prompt = Prompt(NO_POINTS, np.zeros(0, np.int64), mask=mask.astype(np.float32))
    np.testing.assert_array_equal(decode(prompt).logits[0] > 0, mask > 0)


def test_the_same_prompt_gives_the_same_masks() -> None:
    np.testing.assert_array_equal(decode(click(20, 20)).logits, decode(click(20, 20)).logits)
