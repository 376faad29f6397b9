"""The simulation of the cache tiers agrees with known formulas, and with Redis where there is no formula."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.scale.caches import Lru, RedisLfu
from bench.scale.simulation import Shares, Tiers, simulate
from bench.scale.traffic import Traffic, Visits

ONE_BY_ONE = Traffic(annotators=1, images=2_000, skew=0.9, prompts=1)
"""Traffic of the independent reference model: every prompt draws its image independently."""


def test_popularity_follows_zipfs_law() -> None:
    popularity = Traffic(annotators=1, images=4, skew=1, prompts=1).popularity
    assert popularity == pytest.approx(np.array([12, 6, 4, 3]) / 25)


def test_an_annotator_stays_on_an_image_for_as_many_prompts_as_asked_on_average() -> None:
    traffic = Traffic(annotators=1, images=1_000, skew=0, prompts=8)
    asked = prompted(traffic, 200_000)
    changes = 1 + np.count_nonzero(np.diff(asked))
    assert len(asked) / changes == pytest.approx(8, rel=0.03)


def test_fresh_visits_open_an_image_for_the_first_time_and_the_others_one_of_the_last() -> None:
    asked = prompted(Traffic(annotators=1, images=10, skew=0, prompts=1, fresh=0.25), 40_000)
    newest = np.minimum.accumulate(np.minimum(asked, 0))
    assert -newest[-1] / len(asked) == pytest.approx(0.25, abs=0.01)
    assert (asked - newest).max() < 10


def test_when_everything_fits_only_first_prompts_miss() -> None:
    traffic = Traffic(annotators=3, images=40, skew=0, prompts=2)
    shares = answered(traffic, Tiers(replicas=2, memory=40, stored=40), prompts=5_000, warm_up=0)
    assert shares.encoded == 40 / 5_000
    assert shares.memory == 1 - 40 / 5_000
    assert answered(traffic, Tiers(replicas=2, memory=40, stored=40), prompts=5_000, warm_up=5_000).memory == 1


def test_without_routing_each_replica_misses_once() -> None:
    traffic = Traffic(annotators=3, images=40, skew=0, prompts=2)
    shares = answered(traffic, Tiers(replicas=2, memory=40, stored=40, routed=False), prompts=20_000, warm_up=0)
    assert (shares.encoded, shares.redis) == (40 / 20_000, 40 / 20_000)


def test_a_memory_of_one_image_answers_all_but_the_first_prompt_of_a_visit() -> None:
    traffic = Traffic(annotators=1, images=10_000, skew=0, prompts=10)
    shares = answered(traffic, Tiers(replicas=1, memory=1, stored=10_000))
    assert shares.memory == pytest.approx(0.9, abs=0.005)
    assert shares.memory + shares.visits == pytest.approx(1, abs=0.001)


def test_more_annotators_than_a_memory_has_room_for_push_each_other_out() -> None:
    traffic = Traffic(annotators=100, images=100_000, skew=0, prompts=10)
    tight = answered(traffic, Tiers(replicas=1, memory=20, stored=100_000), prompts=50_000)
    roomy = answered(traffic, Tiers(replicas=1, memory=1_000, stored=100_000), prompts=50_000)
    assert tight.memory < 0.3
    assert roomy.memory == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("capacity", [20, 200, 1_000])
def test_a_least_recently_used_cache_hits_as_often_as_ches_approximation_says(capacity: int) -> None:
    shares = answered(ONE_BY_ONE, Tiers(replicas=1, memory=capacity, stored=2_000))
    assert shares.memory == pytest.approx(che(ONE_BY_ONE.popularity, capacity), rel=0.02)


def test_redis_under_lfu_keeps_what_is_asked_for_most() -> None:
    """Without aging, LFU hits more often than LRU, and less often than a cache that knows the popularity."""
    tiers = Tiers(replicas=1, memory=1, stored=200, prompts_per_second=1e9)
    lfu = answered(ONE_BY_ONE, tiers)
    best = ONE_BY_ONE.popularity[:200].sum()
    assert che(ONE_BY_ONE.popularity, 200) + 0.02 < lfu.redis + lfu.memory < best


def test_counters_that_lose_with_time_let_a_forgotten_image_go() -> None:
    cache = RedisLfu(2, seed=0)
    for _ in range(50):
        cache.touch(1)
    cache.touch(2, minute=200)
    cache.touch(3, minute=200)
    assert cache.touch(2, minute=200)
    assert not cache.touch(1, minute=200)


@pytest.mark.parametrize("cache", [Lru(3), RedisLfu(3, seed=0)])
def test_a_cache_never_keeps_more_than_it_has_room_for(cache: Lru | RedisLfu) -> None:
    rng = np.random.default_rng(1)
    for image in rng.integers(0, 10, 500).tolist():
        cache.touch(image)
        assert cache.touch(image)
        assert len(cache) <= 3


def test_the_same_seed_gives_the_same_shares() -> None:
    tiers = Tiers(replicas=2, memory=10, stored=100)
    assert answered(ONE_BY_ONE, tiers, prompts=5_000) == answered(ONE_BY_ONE, tiers, prompts=5_000)


def answered(traffic: Traffic, tiers: Tiers, *, prompts: int = 100_000, warm_up: int = 20_000) -> Shares:
    return simulate(traffic, tiers, prompts=prompts, warm_up=warm_up, seed=7)


def prompted(traffic: Traffic, prompts: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(3)
    return np.fromiter(islice(Visits(traffic).prompted(rng), prompts), np.int64)


def che(popularity: NDArray[np.float64], capacity: int) -> float:
    """Return the hit rate of an LRU cache. Source: Che, Tung, Wang: Hierarchical Web Caching Systems (2002)."""
    low, high = 0.0, 1e9
    for _ in range(100):
        middle = (low + high) / 2
        kept = -np.expm1(-popularity * middle)
        low, high = (middle, high) if kept.sum() < capacity else (low, middle)
    return float((popularity * kept).sum())
