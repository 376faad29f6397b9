"""(b) What routing by image id gains: the same traffic goes through the gateway with and without it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.record import Quantity, Row, Section
from bench.scale.amounts import Amounts
from bench.scale.measuring import SEED, Measured, failed, hit_rate, latency, percent, prompt_all, under_load
from bench.scale.population import Population
from bench.scale.simulation import Tiers, simulate
from tests.support.fleet import CONFIGURATION, Fleet


def routing(amounts: Amounts, population: Population) -> Section:
    load = amounts.routing
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        unrouted = Path(folder) / "haproxy.cfg"
        unrouted.write_text(without_routing(CONFIGURATION.read_text()))
        for name, configuration in (("by image id", CONFIGURATION), ("one after the other", unrouted)):
            with Fleet(
                amounts.among, workers=0, settings=population.settings(load.memory), configuration=configuration
            ) as fleet:
                population.store(fleet.cache_url, range(load.traffic.images))
                prompt_all(fleet, population, load.traffic.images)
                measured = under_load(fleet, population, load)
            rows.append(_row(name, amounts, measured, routed=configuration is CONFIGURATION))
    traffic = load.traffic
    note = (
        f"{traffic.images} images, all alike; {amounts.among} replicas with room for {load.memory} each; "
        f"{traffic.annotators} annotators, {traffic.prompts:g} prompts on an image on average and "
        f"{load.pause:g} s between two."
    )
    return Section("b", "Hit rate of the replicas' memory, with and without routing by image id", rows, note)


def without_routing(configuration: str) -> str:
    """The gateway's configuration, changed so that each request goes to the next replica.

    Raises:
        ValueError: the configuration does not route by image.
    """
    start, end = configuration.find("    balance hash"), configuration.find("    server-template")
    if not 0 <= start < end:
        raise ValueError("the configuration does not route by image")
    return f"{configuration[:start]}    balance roundrobin\n{configuration[end:]}"


def _row(name: str, amounts: Amounts, measured: Measured, *, routed: bool) -> Row:
    load, answers = amounts.routing, measured.answers.counted
    tiers = Tiers(replicas=amounts.among, memory=load.memory, stored=load.traffic.images, routed=routed)
    shares = simulate(load.traffic, tiers, prompts=amounts.simulated, warm_up=amounts.simulated // 2, seed=SEED)
    numbers = {
        "hit rate": percent(hit_rate(answers)),
        "simulated": percent(shares.memory),
        "prompts": Quantity(len(answers), "prompts"),
        **latency(answers),
        **{f"{tier} p50": latency([one for one in answers if one.tier == tier])["p50"] for tier in ("memory", "redis")},
        "replicas": measured.per_prompt("replicas"),
        "failed": failed(measured.answers),
    }
    return Row(f"routed {name}", numbers)
