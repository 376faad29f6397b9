"""The formulas of a plan: what many annotators need, from what one prompt, one image and one encoding cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from bench.scale.simulation import Tiers, simulate
from bench.scale.traffic import Traffic
from bench.sizing.assumptions import BUSY, NODE_BYTES, NODE_BYTES_PER_SECOND, Costs, Work
from bench.sizing.gpus import GPUS

_SIMULATED_ANNOTATORS = 20
_SIMULATED_VISITS = 15_000
_SIMULATED_PROMPTS = 12.0  # per visit; only the first can miss, so their number does not change the misses
_SEED = 20_261_122
_ROOM = 2
"""Images per annotator that replicas have memory for: the current one and the one before."""


@dataclass(frozen=True, slots=True)
class Misses:
    """Fractions of the visits whose first prompt finds its image in Redis (`fetched`), or nowhere (`encoded`)."""

    fetched: float
    encoded: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the work needs. Rates are per second.

    Attributes:
        misses: per visit, from the simulation.
        memory_hits: fraction of the prompts whose image is in the replica's memory.
        cores: number for the API, with a replica on each.
        replica_bytes: memory for prepared images in each replica: `SAM_EMBEDDING_LRU_BYTES`.
        cached_images, cached_bytes: images in Redis, and their bytes by dtype.
        nodes: number of Redis nodes, by dtype.
        fetched_bytes: sent from Redis to the replicas.
        answered_bytes, uploaded_bytes: sent through the gateways.
        browser_bytes: embeddings sent to browsers, if browsers decode.
        gateway_cores: number for all gateways together.
        encodings: images that are encoded.
        encoder_cores: number of CPU cores, with MobileSAM.
        gpus: number of GPUs in place of these cores, by the names of `GPUS`.
    """

    work: Work
    prompts: float
    visits: float
    misses: Misses
    memory_hits: float
    cores: int
    replica_bytes: float
    cached_images: float
    cached_bytes: dict[str, float]
    nodes: dict[str, int]
    fetched_bytes: float
    answered_bytes: float
    uploaded_bytes: float
    browser_bytes: float
    gateway_cores: int
    encodings: float
    encoder_cores: int
    gpus: dict[str, int]


def plan(work: Work, costs: Costs) -> Plan:
    """The plan for `work`. Every line is a formula of `docs/scaling.md`."""
    sizes = {"float16": costs.float16_bytes, "int8": costs.int8_bytes}
    prompts = work.annotators * work.prompts_per_second
    visits = work.annotators / work.seconds_per_image
    misses = simulated_misses(work.fresh, work.images_per_annotator, work.cached, work.skew)
    first = visits * (misses.fetched + misses.encoded)
    cores = _whole((prompts * costs.prompt_ms + first * costs.first_ms) / 1000 / BUSY)
    images = work.annotators * work.images_per_annotator * work.cached
    encodings = visits * misses.encoded
    fetched = first * costs.float16_bytes
    answered, uploaded = prompts * costs.answer_bytes, visits * work.fresh * work.upload_bytes
    return Plan(
        work=work,
        prompts=prompts,
        visits=visits,
        misses=misses,
        memory_hits=1 - first / prompts,
        cores=cores,
        replica_bytes=max(_ROOM, math.ceil(_ROOM * work.annotators / cores)) * costs.prepared_bytes,
        cached_images=images,
        cached_bytes={dtype: images * size for dtype, size in sizes.items()},
        nodes={
            dtype: max(_whole(images * size / NODE_BYTES), _whole(first * size / NODE_BYTES_PER_SECOND / BUSY))
            for dtype, size in sizes.items()
        },
        fetched_bytes=fetched,
        answered_bytes=answered,
        uploaded_bytes=uploaded,
        browser_bytes=visits * costs.float16_bytes,
        gateway_cores=max(
            _whole(prompts * costs.gateway_ms / 1000 / BUSY),
            _whole((answered + uploaded) / NODE_BYTES_PER_SECOND / BUSY),
        ),
        encodings=encodings,
        encoder_cores=_whole(encodings * costs.encode_ms / 1000 / BUSY),
        gpus={name: _whole(encodings / one.images_per_second / BUSY) for name, one in GPUS.items()},
    )


@cache
def simulated_misses(
    fresh: float,
    images_per_annotator: float,
    cached: float,
    skew: float,
    eviction: Literal["lfu", "lru"] = "lfu",
) -> Misses:
    """Misses per visit, simulated for a few annotators with their share of images and memory."""
    images = max(1, round(_SIMULATED_ANNOTATORS * images_per_annotator))
    stored = max(1, round(images * cached))
    traffic = Traffic(
        annotators=_SIMULATED_ANNOTATORS, images=images, skew=skew, prompts=_SIMULATED_PROMPTS, fresh=fresh
    )
    tiers = Tiers(
        replicas=1,
        memory=_ROOM * _SIMULATED_ANNOTATORS,
        stored=stored,
        eviction=eviction,
        prompts_per_second=_SIMULATED_ANNOTATORS * _SIMULATED_PROMPTS / 120,
    )
    prompts = round(_SIMULATED_VISITS * _SIMULATED_PROMPTS)
    kept = np.random.default_rng(_SEED).choice(images, stored, replace=False).tolist()
    shares = simulate(traffic, tiers, prompts=prompts, warm_up=prompts, seed=_SEED, kept=kept)
    return Misses(shares.redis / shares.visits, shares.encoded / shares.visits)


def _whole(number: float) -> int:
    return max(1, math.ceil(number))
