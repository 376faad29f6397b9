"""Which tier answers: annotators' traffic through the memory of replicas, Redis, and the encoder behind them.

Nothing is timed and no image exists: only which image is where. Seeded, so that the same question has one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.scale.caches import Lru, RedisLfu
from bench.scale.traffic import Traffic, Visits


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """What stands between a prompt and the encoder.

    Attributes:
        replicas: of the API.
        memory: images each of them keeps.
        stored: images that Redis keeps.
        eviction: how Redis makes room.
        routed: each image is asked of one replica alone; else of one after the other.
        prompts_per_second: of all annotators, by which Redis's counters lose with time.
    """

    replicas: int
    memory: int
    stored: int
    eviction: Literal["lfu", "lru"] = "lfu"
    routed: bool = True
    prompts_per_second: float = 100.0


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of the prompts that are answered from each tier; they sum to 1.

    Attributes:
        memory: of a replica.
        redis: fetched and prepared first.
        encoded: neither had it: encoded (again) first.
        visits: to images, for each prompt.
    """

    memory: float
    redis: float
    encoded: float
    visits: float

    @property
    def encoded_visits(self) -> float:
        """Part of the visits that need an encoding."""
        return self.encoded / self.visits


def simulate(
    traffic: Traffic, tiers: Tiers, *, prompts: int, warm_up: int, seed: int, kept: Sequence[int] = ()
) -> Shares:
    """Let `warm_up` prompts pass, then count.

    Args:
        prompts: that count.
        kept: images that Redis has at the start.
    """
    rng = np.random.default_rng(seed)
    visited = Visits(traffic)
    annotators = [visited.prompted(rng) for _ in range(traffic.annotators)]
    memories = [Lru(tiers.memory) for _ in range(tiers.replicas)]
    redis = Lru(tiers.stored) if tiers.eviction == "lru" else RedisLfu(tiers.stored, seed)
    for image in kept:
        redis.touch(image)
    homes = rng.integers(0, tiers.replicas, 1 << 16).tolist()
    per_minute = 60 * tiers.prompts_per_second
    last: list[int] = [-1] * traffic.annotators
    hits = fetched = encoded = visits = 0
    for number, who in enumerate(rng.integers(0, traffic.annotators, warm_up + prompts).tolist()):
        if number == warm_up:
            hits = fetched = encoded = visits = 0
        image = next(annotators[who])
        visits += image != last[who]
        last[who] = image
        replica = homes[image & 0xFFFF] if tiers.routed else number % tiers.replicas
        if memories[replica].touch(image):
            hits += 1
        elif redis.touch(image, int(number / per_minute)):
            fetched += 1
        else:
            encoded += 1
    return Shares(hits / prompts, fetched / prompts, encoded / prompts, visits / prompts)
