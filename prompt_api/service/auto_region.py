"""Chooses the region that suits the prompts of one request, and a larger one if it cuts what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_api.models.interface import DecodedMasks
from prompt_api.service.lattice import Box, region_around
from prompt_api.service.prompts import ImagePrompt
from prompt_api.service.seen import best_of, box_of, is_cut
from shared.contract.frames import Frame
from shared.contract.geometry import Size
from shared.contract.region import Region

See = Callable[[int, DecodedMasks], None]
"""Is shown the number of a prompt and its masks."""

GROUND = 0.6
"""Share of the image's longer side from which on a mask is taken for the ground on which something may stand."""

_FOREGROUND = 1


def unseen(_number: int, _answer: DecodedMasks) -> None:
    """Look at nothing."""


class AutoRegion:
    """The choice for one request. All of its prompts are answered from one region.

    A prompt with a box means what is in the box. For another, the mask of the best score that the whole image gives
    shows what it means. If that is as large as a ground, the click may be on something that the whole image does not
    show at all. Then the region around the click is a guess: its answer counts only if it shows a thing.

    Attributes:
        is_guess: whether the region is a guess.
        is_cut: whether the last region cuts the mask of a prompt, or was a guess and shows no thing. Of each prompt the
            mask of the best score counts: the largest of three often reaches into the ground.
    """

    def __init__(
        self, prompts: Sequence[ImagePrompt], frame: Frame, original: Size, ready: Sequence[Region] = ()
    ) -> None:
        """Args:
        frame: that of the model.
        original: (height, width) of the image.
        ready: regions whose embeddings are at hand. One of them is taken rather than a new one.
        """
        self._prompts = prompts
        self._frame = frame
        self._original = original
        self._ready = ready
        self._boxes: list[Box] = []
        self._region: Region | None = None
        self.is_guess = False
        self.is_cut = False

    def of_boxes(self) -> Region | None:
        """Return the region that suits the prompts if each of them has a box. It may be None for the whole image."""
        boxes = [prompt.box for prompt in self._prompts if prompt.box is not None]
        if len(boxes) < len(self._prompts):
            return None
        self._boxes = boxes
        return region_around(boxes, self._original, ready=self._ready)

    def whole_image(self, number: int, answer: DecodedMasks) -> None:
        """Look at the masks that the whole image gives for prompt `number`."""
        prompt = self._prompts[number]
        box = prompt.box
        if box is None:
            box = box_of(answer.logits[best_of(answer)], self._frame, self._original)
            if box is not None and max(box[2] - box[0], box[3] - box[1]) >= GROUND * max(self._original):
                box, self.is_guess = _around_points(prompt), True
        if box is not None:
            self._boxes.append(box)

    def of_masks(self) -> Region | None:
        """Return the region that suits what `whole_image` was shown; None for the whole image."""
        if len(self._boxes) < len(self._prompts):
            return None
        return region_around(self._boxes, self._original, ready=self._ready)

    def in_region(self, region: Region) -> See:
        """Return what looks at the masks that a region gives, to see whether it cuts one."""
        self._region, self.is_cut, self._boxes = region, False, []

        def see(_number: int, answer: DecodedMasks) -> None:
            whole = [not is_cut(logits, self._frame, region, self._original) for logits in answer.logits]
            best = best_of(answer)
            # Of a thing, the first two masks are much the same. On a ground, all but a speck reach the edge.
            self.is_cut |= not whole[best] or (self.is_guess and sum(whole) < min(2, len(whole)))
            box = box_of(answer.logits[best], self._frame, region.size, (region.x0, region.y0))
            if box is not None:
                self._boxes.append(box)

        return see

    def larger(self) -> Region | None:
        """Return the next larger region for what the last one showed; None for the whole image."""
        if self.is_guess or self._region is None:
            return None
        twice = 2 * max(self._region.size)
        return region_around(self._boxes, self._original, ready=self._ready, room=1, least=twice)


def _around_points(prompt: ImagePrompt) -> Box | None:
    """Return the box of the points on the foreground; None if there are none."""
    points = [point for point, label in zip(prompt.points, prompt.labels, strict=True) if label == _FOREGROUND]
    if not points:
        return None
    x, y = ([point[axis] for point in points] for axis in (0, 1))
    return min(x), min(y), max(x), max(y)
