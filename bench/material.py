"""What the sections share: the plan, the running service, the photos encoded in it, and `SamPredictor`."""

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
    """A photo that the service has encoded: its size (height, width), and its embedding (1, 256, 64, 64)."""

    name: str
    image_id: str
    size: Size
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All of it.

    Attributes:
        theirs: `SamPredictor`, in this process.
        photos: at their own sizes.
        standard: the same photos at 1800x1200.
        sized: the first photo at several sizes, by megapixels.
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
        """The core for an API that runs on one core."""
        return cores.available()[0]

    @property
    def thread_counts(self) -> list[int]:
        """Numbers of threads to measure with: one, and one for each core."""
        return sorted({1, len(cores.available())}) if self.plan.every_setup else [1]


@contextmanager
def gathered(plan: Plan, settings: Settings, photos: Sequence[Photo]) -> Iterator[Material]:
    """Start the service, and have it encode all photos."""
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
