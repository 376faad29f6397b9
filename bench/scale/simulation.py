"""Simulates which tier answers annotators' prompts: a replica's memory, Redis, or the encoder.

Nothing is timed and there are no images. It only follows which image is where. The seed makes its results repeatable.
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
        replicas: number of API replicas.
        memory: number of images that each replica keeps.
        stored: number of images that Redis keeps.
        eviction: how Redis makes room.
        routed: all prompts of an image go to one replica. Otherwise prompts go to the replicas in turn.
        prompts_per_second: of all annotators together. It sets how fast Redis's counters decrease.
    """

    replicas: int
    memory: int
    stored: int
    eviction: Literal["lfu", "lru"] = "lfu"
    routed: bool = True
    prompts_per_second: float = 100.0


@dataclass(frozen=True, slots=True)
class Shares:
    """Fractions of the prompts that each tier answers; the three sum to 1.

    Attributes:
        memory: the image was in the replica's memory.
        redis: the image was fetched from Redis and prepared first.
        encoded: neither had the image, and it was encoded first.
        visits: number of visits to images, divided by the number of prompts.
    """

    memory: float
    redis: float
    encoded: float
    visits: float

    @property
    def encoded_visits(self) -> float:
        """Fraction of the visits that need an encoding."""
        return self.encoded / self.visits


def simulate(
    traffic: Traffic, tiers: Tiers, *, prompts: int, warm_up: int, seed: int, kept: Sequence[int] = ()
) -> Shares:
    """Simulate `warm_up` prompts, and then count where `prompts` more are answered.

    Args:
        prompts: number that count.
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
