"""What the sections share: the plan, the service, photos that are encoded in it, both sides in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import cores
from bench.photos import MEGAPIXELS, STANDARD, Photo
from bench.plan import Plan
from bench.service import Service
from bench.sides import Theirs
from shared.contract.geometry import Size
from shared.contract.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A photo in the service: (height, width), and the embedding (1, 256, 64, 64) that the service holds."""

    name: str
    image_id: str
    size: Size
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Attributes:
    photos: at their own sizes.
    standard: the same at 1800x1200.
    sized: one of them, by megapixels.
    """

    plan: Plan
    settings: Settings
    service: Service
    theirs: Theirs
    photos: Sequence[Photo]
    standard: Sequence[Encoded]
    sized: Mapping[str, Encoded]

    @property
    def api_core(self) -> int:
        """The core of an API that has one."""
        return cores.available()[0]

    @property
    def thread_counts(self) -> list[int]:
        """One, and all there are."""
        return sorted({1, len(cores.available())}) if self.plan.every_setup else [1]


@contextmanager
def gathered(plan: Plan, settings: Settings, photos: Sequence[Photo]) -> Iterator[Material]:
    """Start the service and have everything encoded."""
    photos = photos[: plan.photos]
    standard = [photo.resized(STANDARD) for photo in photos]
    sized = {name: photos[0].resized(MEGAPIXELS[name]) for name in plan.sizes}
    wanted = [*standard, *sized.values()]
    with Service() as service:
        held = service.encode(photo.jpeg for photo in wanted)
        encoded = [
            Encoded(photo.name, image_id, photo.size, embedding)
            for photo, (image_id, embedding) in zip(wanted, held, strict=True)
        ]
        yield Material(
            plan,
            settings,
            service,
            Theirs(settings),
            photos,
            encoded[: len(standard)],
            dict(zip(sized, encoded[len(standard) :], strict=True)),
        )


def in_words(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"
