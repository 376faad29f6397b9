"""(d), (e): many prompts at once: from many clients, and in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from bench import cores
from bench.clicks import Clicks
from bench.load import Load, run_load
from bench.material import Material
from bench.record import Bound, Quantity, Row, Section
from bench.samples import in_turns, median, percentile
from bench.service import Answer, Api, Connection, masks_path, request_body
from tests.support.reference import Click

CONNECTIONS = 4
"""Clients per API process. Connections reach processes by chance, and with this many no process goes without."""

_BODIES = 64
_ALONE = 8


@dataclass(frozen=True, slots=True)
class _Setup:
    what: str
    processes: int
    on: list[int]
    one_core_each: bool


def concurrent(material: Material) -> Section:
    """Measure (d): prompts per second, by number of API processes."""
    plan, photo = material.plan, material.standard[0]
    clicks = Clicks(photo.size)
    bodies = [request_body([clicks.point()]) for _ in range(_BODIES)]
    setups = list(_setups(plan.processes, free=plan.every_setup))
    loads: list[list[Load]] = [[] for _ in setups]
    shares: list[list[list[float]]] = [[] for _ in setups]
    with ExitStack() as stack:
        apis = [
            stack.enter_context(
                material.service.api(on=setup.on, processes=setup.processes, one_core_each=setup.one_core_each)
            )
            for setup in setups
        ]
        for _ in range(plan.load_rounds):
            for number, (setup, api) in enumerate(zip(setups, apis, strict=True)):
                with _processor_shares(api) as share:
                    load = run_load(
                        api.url,
                        masks_path(photo.image_id),
                        bodies,
                        connections=CONNECTIONS * setup.processes,
                        warm_up=plan.load_warm_up,
                        seconds=plan.load_seconds,
                    )
                loads[number].append(load)
                shares[number].append(share)
    rates = [float(np.median([load.rate for load in some])) for some in loads]
    rows = [
        _row(setup, some, rate / rates[0], share)
        for setup, some, rate, share in zip(setups, loads, rates, shares, strict=True)
    ]
    note = (
        f"Closed loop, {CONNECTIONS} connections per process, the clients in one process on the same cores; "
        "`free` processes run where the system puts them. Clients and API processes: processor time, 100 % is one core."
    )
    return Section("d", "Prompts per second, by API processes", rows, note)


def batches(material: Material, apis: Mapping[str, Api]) -> Section:
    """Measure (e): what each prompt of a batch costs over HTTP.

    Args:
        apis: by a few words about each.
    """
    rows = [row for name, api in apis.items() for row in _batch_rows(material, name, api.connect())]
    return Section("e", "Cost per prompt in a batch, over HTTP", rows)


def _batch_rows(material: Material, name: str, connection: Connection) -> Iterator[Row]:
    plan, photo = material.plan, material.standard[0]
    clicks = Clicks(photo.size)

    def prompt(asked: Sequence[Click]) -> Answer:
        return connection.prompt(photo.image_id, asked)

    # A single prompt is too short to time well, so each round sends several, one after the other.
    rounds = [[clicks.point() for _ in range(max(plan.batches))] for _ in range(1 + plan.batch_rounds)]
    taken = in_turns(
        {
            "alone": lambda some: [prompt([click]) for click in some[:_ALONE]],
            **{str(size): _first(size, prompt) for size in plan.batches if size > 1},
        },
        rounds,
        warm_up=1,
    )
    single = median(taken["alone"]).value / min(_ALONE, max(plan.batches))
    for size in plan.batches:
        cost = single if size == 1 else median(taken[str(size)]).value / size
        numbers = {"per prompt": Quantity(cost, "ms"), "of a single one": Quantity(cost / single, "x")}
        yield Row(f"batch of {size}, {name}", numbers, Bound("of a single one", most=0.5) if size == 64 else None)


def _first(size: int, prompt: Callable[[Sequence[Click]], Answer]) -> Callable[[Sequence[Click]], Answer]:
    return lambda some: prompt(some[:size])


def _setups(processes: tuple[int, ...], *, free: bool) -> Iterator[_Setup]:
    every = cores.available()
    for count in processes:
        on = every[: min(count, len(every))]
        where = f"{len(on)} core{'s' if len(on) > 1 else ''}, pinned"
        yield _Setup(f"{_count(count)} on {where}", count, on, one_core_each=True)
    for count in processes if free else ():
        yield _Setup(f"{_count(count)}, free on {len(every)}", count, every, one_core_each=False)


def _row(setup: _Setup, loads: list[Load], against_one: float, shares: list[list[float]]) -> Row:
    taken = [sample for load in loads for sample in load.milliseconds]
    numbers = {
        "rate": Quantity(float(np.median([load.rate for load in loads])), "prompts/s"),
        "against one on one": Quantity(against_one, "x"),
        "p50": percentile(taken, 50),
        "p95": percentile(taken, 95),
        "clients": Quantity(100 * sum(load.processor for load in loads) / sum(load.wall for load in loads), "%"),
        "API processes": Quantity(float(np.median([sum(share) for share in shares])), "%"),
        "least busy one": Quantity(float(np.median([min(share) for share in shares])), "%"),
    }
    bounded = setup.processes == 2 and setup.one_core_each and len(setup.on) == 2
    return Row(setup.what, numbers, Bound("against one on one", least=1.8) if bounded else None)


@contextmanager
def _processor_shares(api: Api) -> Iterator[list[float]]:
    """Each API process's processor time in the block, in percent of one core. The list is filled after the block."""
    shares: list[float] = []
    started, before = time.perf_counter(), [cores.processor_seconds(pid) for pid in api.pids]
    yield shares
    wall = time.perf_counter() - started
    shares += [100 * (cores.processor_seconds(pid) - used) / wall for pid, used in zip(api.pids, before, strict=True)]


def _count(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"
