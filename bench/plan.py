"""How much of everything a run measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts of rounds per section, and what is measured in them.

    Attributes:
        decoder_rounds: (a), of each photo and thread count.
        http_rounds: (b), rounds of two HTTP prompts and one of the reference.
        cold_rounds: (c).
        processes: (d), numbers of API processes.
        load_rounds, load_warm_up, load_seconds: (d), of each of them.
        batches, batch_rounds: (e).
        sizes, size_rounds: (f), rounds of each format.
        reference_rounds: (f), of the reference at each size but the largest.
        mask_rounds: (g), of each kind of prompt on each photo.
        photos: photos used, at most.
        every_setup: also with all threads, and with API processes that are not bound to cores.
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
    load_warm_up=0.5,
    load_seconds=3.0,
    batches=(1, 4),
    batch_rounds=1,
    sizes=("0.3 MP", "2 MP"),
    size_rounds=1,
    reference_rounds=1,
    mask_rounds=1,
    photos=1,
    every_setup=False,
)
"""Everything once, to see that it works; its numbers mean nothing."""
