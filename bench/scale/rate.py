"""(a) Prompts per second, by number of replicas with one core each."""

from __future__ import annotations

from bench import cores
from bench.record import Quantity, Row, Section
from bench.scale.amounts import Amounts
from bench.scale.measuring import Measured, latency, prompt_all, under_load
from bench.scale.population import Population
from tests.support.fleet import Fleet

_PASSES = ("first", "second", "third", "later")
"""Passes over all images. The first pass finds none in memory. The second prepares those that are not ready yet."""

_NOTE = (
    "Each replica is bound to one core, in turns; the gateway, the clients and Valkey take what is left. "
    "ms: processor time per prompt; more: of an image's first prompts, beyond as many later ones. More replicas than "
    "cores cannot help."
)


def rate(amounts: Amounts, population: Population) -> Section:
    load, images = amounts.rate, amounts.rate.traffic.images
    rows: list[Row] = []
    with Fleet(amounts.replicas[0], workers=0, settings=population.settings(load.memory)) as fleet:
        population.store(fleet.cache_url, range(images))
        spent = [prompt_all(fleet, population, images) for _ in _PASSES]
        for count in amounts.replicas:
            while len(fleet.replicas) < count:
                fleet.add_replica()
            every = cores.available()
            for number, pid in enumerate(fleet.pids["replicas"]):
                cores.pin(pid, {every[number % len(every)]})
            prompt_all(fleet, population, images)
            rows.append(_row(count, under_load(fleet, population, load), rows[0] if rows else None))
    numbers = {name: Quantity(1000 * each / images, "ms") for name, each in zip(_PASSES, spent, strict=True)}
    more = sum(spent) - len(spent) * spent[-1]
    rows.append(Row("a prompt, one at a time", {**numbers, "more": Quantity(1000 * more / images, "ms")}))
    return Section("a", "Prompts per second, by replicas behind the gateway", rows, _NOTE)


def _row(count: int, measured: Measured, one: Row | None) -> Row:
    numbers = {"rate": measured.rate}
    if one is not None:
        numbers["against one"] = Quantity(measured.rate.value / one.numbers["rate"].value, "x")
    numbers |= latency(measured.answers.counted)
    numbers |= {name: measured.per_prompt(name) for name in ("replicas", "gateway", "clients")}
    counted = measured.answers.end - measured.answers.begin
    numbers["replicas busy"] = Quantity(100 * measured.processor["replicas"] / counted, "%")
    return Row(f"{count} replica{'s' if count > 1 else ''}", numbers)
