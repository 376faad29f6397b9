"""A fake decoder whose masks are single objects: parts of one colour that hang together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prompt_api.models.fake.decoder import FakeDecoder, FakePrepared
from prompt_api.models.interface import DecodedMasks, Prompt

SIDE = 64
"""Blocks along a side of the fake embedding."""

OUTSIDE = np.float32(-10)

RED, GREEN, GROUND = (200, 30, 30), (30, 190, 40), (20, 60, 160)

Place = tuple[int, int]
"""(column, row) of a square in the grid of `squares`."""


def squares(*red: Place, green: Sequence[Place] = ()) -> bytes:
    """Return a picture of 1024x768 with squares of 64 pixels on a ground. Those of neighbouring places do not touch.

    Args:
        red: places of the red squares: columns 0 to 7 and rows 0 to 5.
    """
    image = Image.new("RGB", (1024, 768), GROUND)
    for colour, places in ((RED, red), (GREEN, green)):
        for column, row in places:
            x, y = corner(column, row)
            image.paste(colour, (x, y, x + 64, y + 64))
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def corner(column: int, row: int) -> tuple[int, int]:
    """Return (x, y) of the upper left pixel of the square at a place."""
    return 32 + 128 * column, 32 + 128 * row


def middle(column: int, row: int) -> list[int]:
    x, y = corner(column, row)
    return [x + 32, y + 32]


class ConnectedDecoder(FakeDecoder):
    """The fake decoder, but a mask is only the part that holds the first foreground point, or the box's middle."""

    def decode(
        self, image: FakePrepared, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        for prompt, masks in zip(prompts, super().decode(image, prompts, multimask=multimask), strict=True):
            yield _only(masks, _clicked(prompt))

    def decode_points(
        self, image: FakePrepared, points: NDArray[np.float32], least_score: float
    ) -> Iterator[DecodedMasks]:
        for point, masks in zip(points, super().decode_points(image, points, least_score), strict=True):
            yield _only(masks, point)


def _clicked(prompt: Prompt) -> NDArray[np.float32]:
    foreground = prompt.points[prompt.labels == 1]
    if len(foreground):
        return np.asarray(foreground[0])
    assert prompt.box is not None
    return np.asarray(prompt.box.reshape(2, 2).mean(axis=0))


def _only(masks: DecodedMasks, point: NDArray[np.float32]) -> DecodedMasks:
    logits = masks.logits.copy()
    block = logits.shape[-1] // SIDE
    x, y = (int(min(value // 16, SIDE - 1)) for value in point)
    for one in logits:
        part = _part(one[::block, ::block] > 0, x, y)
        one[~part.repeat(block, axis=0).repeat(block, axis=1)] = OUTSIDE
    return DecodedMasks(logits, masks.scores, masks.limit)


def _part(inside: NDArray[np.bool_], x: int, y: int) -> NDArray[np.bool_]:
    """Return the part of a mask (64, 64) that holds a place."""
    found = np.zeros_like(inside)
    waiting = deque([(y, x)] if inside[y, x] else [])
    while waiting:
        row, column = waiting.popleft()
        if not (0 <= row < SIDE and 0 <= column < SIDE) or found[row, column] or not inside[row, column]:
            continue
        found[row, column] = True
        waiting.extend([(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)])
    return found
