"""What is measured: one kind of photos, and how many processes work on them."""

from __future__ import annotations

from dataclasses import dataclass

WARM = 4
"""Images for each process that are encoded before the time counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One kind of photos, for `bench.host.turn`.

    Attributes:
        size: (width, height) of the photos.
        images: how many are timed in each row.
        batch: most images that the encoder takes at once.
        processes: how many decode, one row for each; from few to many.
        encoder_seconds: that the encoder takes for an image.
    """

    size: tuple[int, int]
    images: int
    batch: int
    processes: tuple[int, ...]
    encoder_seconds: float

    @property
    def most(self) -> int:
        """The largest number of processes."""
        return self.processes[-1]
