"""Encoders that cost nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.host import names
from bench.host.spent import Spent

_EMBEDDING = (1, 256, 64, 64)


class FreeEncoder:
    """An encoder that costs nothing: it gives the same embedding each time, rounded to float16 as a GPU would do it.

    With `seconds` it sleeps so long for each image, as a thread that waits for a GPU does.
    """

    model = names.FAKE

    def __init__(self, batch: int, seconds: float = 0.0) -> None:
        self.batch = batch
        self._seconds = seconds
        numbers = np.random.default_rng(0).normal(0, 0.1, _EMBEDDING)
        self._result = names.tensors(numbers.astype(np.float16))

    def encode(self, images: Sequence[Any]) -> list[Any]:
        if self._seconds:
            time.sleep(self._seconds * len(images))
        return [self._result for _ in images]


class FreeResizingEncoder(FreeEncoder):
    """Like a card that resizes pictures, a `ResizingEncoder`. It does what the host has to do for that, and no more.

    The host copies each picture into page-locked memory that is used again, from which the card takes it.
    """

    def __init__(self, batch: int, spent: Spent) -> None:
        """
        Args:
            spent: where the copies are counted, as a stage.
        """
        super().__init__(batch)
        self.resized = spent.timed("copy for the card", self._resized)
        self._memory = threading.local()

    def resizes(self, size: tuple[int, int]) -> bool:  # noqa: ARG002 - of `ResizingEncoder`
        return True

    @property
    def page_locked(self) -> NDArray[np.uint8]:
        """What stands for page-locked memory in this thread: flat, as large as its largest picture so far."""
        memory: NDArray[np.uint8] = getattr(self._memory, "flat", np.empty(0, np.uint8))
        return memory

    def _resized(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Copy a picture (H, W, 3), and return a frame of the right size without a picture in it."""
        if self.page_locked.size < rgb.size:
            self._memory.flat = np.empty(rgb.size, np.uint8)
        np.copyto(self.page_locked[: rgb.size].reshape(rgb.shape), rgb)
        return np.zeros((*self.model.encoder_frame.inside(rgb.shape[:2]), 3), np.uint8)
