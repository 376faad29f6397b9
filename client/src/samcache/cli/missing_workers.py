"""Tells the person who waits for images that no worker is there to encode them."""

from __future__ import annotations

from collections.abc import Callable

from samcache.service.resources import ImageInfo


class MissingWorkers:
    """Called with each image that is not encoded yet. It says once that no worker is alive, until one is again."""

    def __init__(self, complain: Callable[[str], None], kind: str = "worker") -> None:
        """Args:
        complain: gets one sentence.
        kind: what the images wait for.
        """
        self._complain = complain
        self._kind = kind
        self._missing = False

    def __call__(self, image: ImageInfo) -> None:
        if image.workers is None:
            return
        missing = image.workers == 0
        if missing and not self._missing:
            self._complain(f"no {self._kind} of {image.model} is alive: images wait until one is started")
        self._missing = missing
