"""How much of everything a run measures."""

from __future__ import annotations

from dataclasses import dataclass

from bench.scale.traffic import Traffic
from shared.contract.models import FAKE, MOBILE_SAM


@dataclass(frozen=True, slots=True)
class Load:
    """Who prompts, and how long.

    Attributes:
        memory: images that each replica's memory is given room for.
        warm_up, seconds: before what counts, and of what counts.
        pause: mean seconds between an annotator's prompts; 0: as fast as they are answered.
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
        model: of all sections but (d).
        replicas: (a), numbers of replicas.
        among: (b), (d), replicas.
        rate: (a), which everything fits in memory for.
        routing: (b), with memory for all images in all replicas together, and not in one.
        change: (c); what changes does so after a third of its seconds.
        tiers: (d), with the `fake` model: its prompts cost so little that there are enough of them.
        stored: (d), embeddings that the cache has room for.
        encodings: (e).
        simulated: prompts of each simulation that count, after half as many that do not.
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
"""Everything once, to see that it works; its numbers mean nothing."""
