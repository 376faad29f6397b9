"""Random prompts, the same in every run, in the form that each side takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.interface import Prompt
from shared.contract.geometry import Size
from shared.contract.models import SAM1
from tests.support.reference import Click

SEED = 20_241_122

KINDS = ("point", "points", "background", "box", "box and points", "mask", "mask and points", "mask and box")


class Clicks:
    """A sequence of random prompts on one size of image."""

    def __init__(self, size: Size, seed: int = SEED) -> None:
        self._height, self._width = size
        self._rng = np.random.default_rng(seed)

    def point(self) -> Click:
        """A click on the foreground that asks for three masks: the most common prompt of a user."""
        return Click(*self._points(1, 1))

    def of_kind(self, kind: str, earlier: NDArray[np.float32] | None) -> Click:
        """A prompt of one of `KINDS`, with or without multimask.

        Args:
            earlier: (256, 256) low-res logits that a prompt with a mask refines.
        """
        points: tuple[Any, Any] = (None, None)
        if "points" in kind or kind == "background":
            points = self._points(1, 5)
        elif kind == "point":
            points = self._points(1, 1)
        if kind == "background":
            points = points[0], np.zeros_like(points[1])
        box = self._box() if "box" in kind else None
        mask = earlier if "mask" in kind else None
        return Click(*points, box=box, mask=mask, multimask=bool(self._rng.integers(0, 2)))

    def _points(self, least: int, most: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        count = int(self._rng.integers(least, most + 1))
        labels = self._rng.integers(0, 2, count)
        labels[0] = 1
        return self._rng.uniform(0, 1, (count, 2)) * (self._width, self._height), labels

    def _box(self) -> NDArray[np.float64]:
        low, high = self._rng.uniform(0, 0.45, 2), self._rng.uniform(0.55, 1, 2)
        return np.concatenate([low, high]) * (self._width, self._height, self._width, self._height)


def decoder_prompt(click: Click, size: Size) -> Prompt:
    """`click` in the form that the service's decoder takes.

    Args:
        size: (height, width) of the image that the click's pixels belong to.
    """
    points = np.zeros((0, 2)) if click.points is None else click.points
    labels = np.zeros(0, np.int64) if click.labels is None else click.labels
    box = None if click.box is None else SAM1.frame.points(click.box.reshape(2, 2), size).reshape(4)
    return Prompt(SAM1.frame.points(points, size), labels, box, click.mask)


def request_prompt(click: Click) -> dict[str, Any]:
    """`click` as a prompt of the HTTP API. The click must have no mask."""
    assert click.mask is None
    given = {"points": click.points, "labels": click.labels, "box": click.box}
    return {name: array.tolist() for name, array in given.items() if array is not None}
