"""How much a run measures in each section."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of rounds of each section, and what the rounds measure.

    Attributes:
        decoder_rounds: of (a), for each photo and number of threads.
        http_rounds: of (b); each has two HTTP prompts and one prompt of the reference.
        cold_rounds: of (c).
        processes: of (d), the numbers of API processes.
        load_rounds, load_warm_up, load_seconds: of (d), for each number of processes; seconds.
        batches, batch_rounds: of (e), prompts in a batch and rounds.
        sizes, size_rounds: of (f), sizes of the image, and rounds for each format.
        reference_rounds: of (f), prompts of the reference at each size except the largest.
        mask_rounds: of (g), for each kind of prompt on each photo.
        photos: most photos that are used.
        every_setup: measure also with all threads, and with API processes that are not bound to cores.
    """

    decoder_rounds: int = 12
    http_rounds: int = 120
    cold_rounds: int = 30
    processes: tuple[int, ...] = (1, 2, 4)
    load_rounds: int = 3
    load_warm_up: float = 1.0
    load_seconds: float = 4.0
    batches: tuple[int, ...] = (1, 8, 64)
    batch_rounds: int = 5
    sizes: tuple[str, ...] = ("0.3 MP", "2 MP", "12 MP", "50 MP")
    size_rounds: int = 12
    reference_rounds: int = 5
    mask_rounds: int = 4
    photos: int = 8
    every_setup: bool = True


FULL = Plan()

QUICK = Plan(
    decoder_rounds=2,
    http_rounds=3,
    cold_rounds=2,
    processes=(1, 2),
    load_rounds=1,
    load_warm_up=0.1,
    load_seconds=0.5,
    batches=(1, 4),
    batch_rounds=1,
    sizes=("0.3 MP", "2 MP"),
    size_rounds=1,
    reference_rounds=1,
    mask_rounds=1,
    photos=1,
    every_setup=False,
)
"""Everything once, to check that the bench works. Its numbers mean nothing."""
