"""(d) Which tier answers when traffic over thousands of images follows Zipf's law and Redis cannot hold them all."""

from __future__ import annotations

import numpy as np

from bench.record import Quantity, Row, Section
from bench.scale.amounts import Amounts
from bench.scale.measuring import SEED, failed, latency, percent, under_load
from bench.scale.population import Population, embeddings_kept
from bench.scale.simulation import Tiers, simulate
from shared.contract.models import FAKE
from tests.support.fleet import Fleet

_TIERS = {
    "memory of a replica": ("memory",),
    "Redis": ("redis",),
    "encoded again": ("encoded", "uploaded"),
    "of these, uploaded again": ("uploaded",),
}


def tiers(amounts: Amounts) -> Section:
    load, traffic = amounts.tiers, amounts.tiers.traffic
    population = Population(FAKE.name)
    rng = np.random.default_rng(SEED)
    kept = rng.choice(traffic.images, min(amounts.stored, traffic.images), replace=False).tolist()
    with Fleet(
        amounts.among,
        workers=1,
        settings=population.settings(load.memory),
        cache_bytes=population.cache_bytes(amounts.stored),
    ) as fleet:
        population.store(fleet.cache_url, range(traffic.images), frozenset(kept))
        measured = under_load(fleet, population, load)
        held = embeddings_kept(fleet.cache_url)
    answers = measured.answers.counted
    rate = measured.rate.value
    predicted = simulate(
        traffic,
        Tiers(replicas=amounts.among, memory=load.memory, stored=amounts.stored, prompts_per_second=rate),
        prompts=amounts.simulated,
        warm_up=int(load.warm_up * rate),
        seed=SEED,
        kept=kept,
    )
    simulated = dict(zip(_TIERS, (predicted.memory, predicted.redis, predicted.encoded), strict=False))
    rows = []
    for name, kinds in _TIERS.items():
        found = [answer for answer in answers if answer.tier in kinds]
        share = percent(len(found) / max(1, len(answers)))
        numbers = {"measured": share}
        if name in simulated:
            numbers["simulated"] = percent(simulated[name])
            numbers["apart"] = Quantity(abs(share.value - 100 * simulated[name]), "points")
        rows.append(Row(name, {**numbers, **latency(found)}))
    whole = {
        "prompts": Quantity(len(answers), "prompts"),
        "rate": measured.rate,
        "embeddings kept": Quantity(held, "images"),
        "failed": failed(measured.answers),
    }
    rows.append(
        Row("all", {**whole, **{name: measured.per_prompt(name) for name in ("replicas", "gateway", "clients")}})
    )
    note = (
        f"{traffic.images} images, Zipf {traffic.skew:g}; {amounts.among} replicas with room for {load.memory} each, "
        f"a cache for {amounts.stored} embeddings (allkeys-lfu); {traffic.annotators} annotators, "
        f"{traffic.prompts:g} prompts on an image on average; the `fake` model. ms: processor time per prompt."
    )
    return Section("d", "Which tier has the image, in a cache too small for all", rows, note)
