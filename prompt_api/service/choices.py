"""The regions that were chosen for recent prompts: who asks again for the finer answer needs no second choice."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from prompt_api.service.prompts import ImagePrompt
from prompt_api.service.tokens import MAX_RECIPE_POINTS
from shared.contract.keys import EmbeddingKey
from shared.contract.region import Region

CAPACITY = 1_000
"""Prompts that one process remembers."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Attributes:
    region: the region that suits the prompt.
    is_guess: see `AutoRegion`.
    """

    region: Region
    is_guess: bool


@dataclass(frozen=True, slots=True)
class AskedOf:
    """A prompt as it was asked.

    Attributes:
        image: the key of the whole image.
    """

    image: EmbeddingKey
    prompts: tuple[ImagePrompt, ...]
    multimask: bool


class Choices:
    """Remembers the last choices, of requests with one prompt of few points. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[AskedOf, Choice] = OrderedDict()

    def get(self, asked: AskedOf) -> Choice | None:
        with self._lock:
            return self._known.get(asked)

    def put(self, asked: AskedOf, choice: Choice) -> None:
        if len(asked.prompts) != 1 or len(asked.prompts[0].points) > MAX_RECIPE_POINTS:
            return
        with self._lock:
            self._known[asked] = choice
            self._known.move_to_end(asked)
            while len(self._known) > CAPACITY:
                self._known.popitem(last=False)

    def drop(self, asked: AskedOf) -> None:
        """Forget a choice that turned out to be wrong."""
        with self._lock:
            self._known.pop(asked, None)

    def forget(self, image_id: str) -> None:
        """Drop what is known of an image."""
        with self._lock:
            for asked in [asked for asked in self._known if asked.image.image_id == image_id]:
                del self._known[asked]
