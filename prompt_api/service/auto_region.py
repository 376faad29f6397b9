"""Chooses the region that suits the prompts of one request, and a larger one if it cuts what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_api.models.interface import DecodedMasks
from prompt_api.service.lattice import Box, region_around
from prompt_api.service.prompts import ImagePrompt
from prompt_api.service.seen import best_of, box_of, is_cut, object_of
from shared.contract.frames import Frame
from shared.contract.geometry import Size
from shared.contract.region import Region

See = Callable[[int, DecodedMasks], None]
"""Is shown the number of a prompt and its masks."""


def unseen(_number: int, _answer: DecodedMasks) -> None:
    """Look at nothing."""


class AutoRegion:
    """The choice for one request. All of its prompts are answered from one region.

    A prompt with a box means what is in the box. For another, the whole image's masks show what it means.

    Attributes:
        is_cut: whether the last region cuts the mask of a prompt. Of each prompt the mask of the best score counts:
            the largest of three often reaches into the ground.
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
        box = self._prompts[number].box
        if box is None:
            chosen = object_of(answer)
            box = None if chosen is None else box_of(answer.logits[chosen], self._frame, self._original)
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
            logits = answer.logits[best_of(answer)]
            self.is_cut |= is_cut(logits, self._frame, region, self._original)
            box = box_of(logits, self._frame, region.size, (region.x0, region.y0))
            if box is not None:
                self._boxes.append(box)

        return see

    def larger(self) -> Region | None:
        """Return the next larger region for what the last one showed; None for the whole image."""
        assert self._region is not None
        twice = 2 * max(self._region.size)
        return region_around(self._boxes, self._original, ready=self._ready, room=1, least=twice)
