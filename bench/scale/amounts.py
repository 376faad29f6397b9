"""How much a run measures in each section."""

from __future__ import annotations

from dataclasses import dataclass

from bench.scale.traffic import Traffic
from shared.contract.models import FAKE, MOBILE_SAM


@dataclass(frozen=True, slots=True)
class Load:
    """A load: who prompts, and for how long.

    Attributes:
        memory: number of images that fit in each replica's memory.
        warm_up, seconds: seconds that do not count at the start, and seconds that count.
        pause: mean seconds between an annotator's prompts. With 0, each prompt follows the last answer at once.
    """

    traffic: Traffic
    memory: int
    warm_up: float
    seconds: float
    pause: float = 0.0


_SOME = Traffic(annotators=8, images=48, skew=0, prompts=5)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sizes of the sections.

    Attributes:
        model: used in all sections except (d).
        replicas: of (a), the numbers of replicas.
        among: number of replicas in (b) and (d).
        rate: load of (a); all its images fit in each replica's memory.
        routing: load of (b); its images fit in the memory of all replicas together, and not in that of one.
        change: load of (c); the change happens after a third of its seconds.
        tiers: load of (d), with the `fake` model, whose prompts are so cheap that there are enough of them.
        stored: number of embeddings that the cache of (d) has room for.
        encodings: number of encodings in (e).
        simulated: prompts of each simulation that count. Half as many run before them.
    """

    model: str = MOBILE_SAM.name
    replicas: tuple[int, ...] = (1, 2, 4)
    among: int = 3
    rate: Load = Load(Traffic(annotators=32, images=96, skew=0, prompts=5), memory=100, warm_up=5, seconds=20)
    routing: Load = Load(_SOME, memory=24, warm_up=15, seconds=45, pause=0.5)
    change: Load = Load(_SOME, memory=48, warm_up=5, seconds=75, pause=0.5)
    tiers: Load = Load(Traffic(annotators=16, images=3000, skew=0.9, prompts=5), memory=60, warm_up=60, seconds=120)
    stored: int = 600
    encodings: int = 5
    simulated: int = 200_000


FULL = Amounts()

_FEW = Traffic(annotators=4, images=12, skew=0, prompts=3)

QUICK = Amounts(
    model=FAKE.name,
    replicas=(1,),
    among=2,
    rate=Load(_FEW, memory=12, warm_up=0.2, seconds=0.5),
    routing=Load(_FEW, memory=6, warm_up=0.2, seconds=0.5),
    change=Load(_FEW, memory=12, warm_up=0.2, seconds=4),
    tiers=Load(Traffic(annotators=4, images=60, skew=0.9, prompts=3), memory=5, warm_up=0.5, seconds=1.0),
    stored=20,
    encodings=1,
    simulated=5_000,
)
"""Everything once, to check that the bench works. Its numbers mean nothing."""
