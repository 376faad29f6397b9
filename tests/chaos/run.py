"""One run: the service started, seen to work, loaded, broken in every way, and judged."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.contract.models import FAKE, MOBILE_SAM
from tests.chaos.client import Answer, Client
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.ledger import End, Injected, Ledger
from tests.chaos.load import LOST_AFTER, Kept, Load, Pace
from tests.chaos.material import Material, image_id
from tests.chaos.scenery import Scenery
from tests.chaos.stack import ChaosStack

_HEAL_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything.

    Attributes:
        kept: images that are prompted for the whole run. An API process has room in memory for three quarters of them.
        calm: seconds of load before the first fault.
        hold: seconds that a fault of Redis or the network lasts.
        encoding: seconds that an encoding takes at least.
        prepared: bytes of an image in an API's memory.
        slack: what the bounds in seconds are multiplied with, for machines that do other things as well.
        faults: names, in order.
    """

    model: str
    scenes: int
    kept: int
    pace: Pace
    calm: float
    hold: float
    encoding: float
    prepared: int
    slack: float = 1.0
    faults: tuple[str, ...] = tuple(fault.name for fault in FAULTS)
    settings: dict[str, str] = field(default_factory=dict)


FULL = Plan(
    model=MOBILE_SAM.name,
    scenes=8,
    kept=8,
    pace=Pace(lives=2, life_pause=2.5, prompters=2, prompt_pause=0.25),
    calm=12.0,
    hold=3.0,
    encoding=0.8,
    prepared=30_000_000,
    settings={"SAM_ENCODER_THREADS": "1"},
)

QUICK = Plan(
    model=FAKE.name,
    scenes=8,
    kept=8,
    pace=Pace(lives=2, life_pause=0.2, prompters=1, prompt_pause=0.05),
    calm=1.0,
    hold=1.0,
    encoding=0.0,
    prepared=70_000,
    slack=3.0,
    faults=(
        "worker killed after the pop",
        "worker killed after the write",
        "API process killed",
        "Redis stopped, cache and queue",
        "queue killed, back with its AOF",
        "disk full under the queue's AOF",
        "embeddings damaged",
        "files that are no images",
        "connections reset",
        "values cut in the middle",
        "cache killed, back empty",
    ),
)
"""Without weights, and without the faults that take long to get over. With this model a kill in the middle of an
encoding is one after the pop."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run has seen.

    Attributes:
        injected: the faults; the first is the calm before them.
        calm_encodes, encodes: embeddings written, by image id: before the first fault, and from then on.
        problems: what the service itself calls a bug in its log.
        seconds: from the first image to the last answer.
    """

    plan: Plan
    seed: int
    ledger: Ledger
    injected: Sequence[Injected]
    calm_encodes: Counter[str]
    encodes: Counter[str]
    problems: Sequence[str]
    seconds: float


def run(plan: Plan, seed: int, say: Callable[[str], None] = lambda _: None) -> Run:
    """Do it; takes minutes.

    Args:
        seed: of the images, the prompts and the load; the order of the faults is the plan's.
        say: told one line after each fault.
    """
    settings = {
        "SAM_MODEL": plan.model,
        "SAM_EMBEDDING_LRU_BYTES": str(plan.prepared * plan.kept * 3 // 4),
        **plan.settings,
    }
    ledger, material, dice = Ledger(), Material(seed, plan.scenes), random.Random(seed)
    chosen = {fault.name: fault for fault in FAULTS}
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, ChaosStack(settings, Path(folder)) as stack:
        say(f"serving {plan.model} at {stack.url}")
        started = time.monotonic()
        client = Client(stack.url, ledger)
        kept = _learn(stack.url, ledger, material, plan.kept)
        say(f"{len(kept)} images encoded, every answer learnt")
        with Load(stack.url, ledger, material, kept=kept, pace=plan.pace, seed=seed) as load:
            injected: list[Injected] = []
            calm_encodes: Counter[str] = Counter()
            for fault in (_calm(plan.calm), *(chosen[name] for name in plan.faults)):
                load.require_whole()
                entry = fault.begin()
                scenery = Scenery(
                    stack,
                    material,
                    ledger,
                    load,
                    kept,
                    client,
                    dice,
                    plan.model,
                    plan.hold,
                    plan.encoding,
                    entry,
                    plan.slack,
                )
                with fault.inject(scenery):
                    entry.healed = time.monotonic()
                    _see_it_work(scenery)
                if entry.victim:  # else the next fault might strike the worker that takes over
                    ledger.wait_for_end(entry.victim, LOST_AFTER)
                if not injected:
                    calm_encodes = stack.encodes.copy()
                injected.append(entry)
                say(
                    f"{time.monotonic() - started:5.0f} s  {fault.name}: answers after {entry.answers:.1f} s, "
                    f"encodes after {entry.encodes:.1f} s"
                )
        load.require_whole()
        client.close()
        problems = list(stack.problems)
        encodes = stack.encodes - calm_encodes
        return Run(plan, seed, ledger, injected, calm_encodes, encodes, problems, time.monotonic() - started)


def _calm(seconds: float) -> Fault:
    """The time before the first fault, to compare with."""

    @contextmanager
    def inject(_: Scenery) -> Iterator[None]:
        time.sleep(seconds)
        yield

    return Fault("no fault", inject, bound=None)


def _learn(url: str, ledger: Ledger, material: Material, count: int) -> list[Kept]:
    """Upload each image several times at once, and take the answers given now for the right ones."""
    clients = [Client(url, ledger) for _ in range(4)]
    kept = []
    with ThreadPoolExecutor(len(clients)) as pool:
        for number in range(count):
            scene = material.scenes[number % len(material.scenes)]
            one = Kept(scene, material.fresh(scene))
            list(pool.map(lambda client, one=one: _answered(client.upload, one.data), clients))
            kept.append(one)
    client = clients[0]
    for one in kept:
        while _answered(client.status, one.image_id, 5).document["status"] != "ready":
            pass
        ledger.settle(ledger.acknowledge(one.image_id), End.READY)
        for number, question in enumerate(one.scene.questions):
            material.learn(one.scene, number, _answered(client.masks, one.image_id, question).body)
        material.learn_embedding(one.scene, _answered(client.embedding, one.image_id).body)
    for each in clients:
        each.close()
    assert material.tells_scenes_apart()
    return kept


def _answered(ask: Callable[..., Answer], *arguments: object) -> Answer:
    """The first answer that is no refusal: on a very busy machine the service may refuse without a fault."""
    deadline = time.monotonic() + _HEAL_SECONDS
    while (answer := ask(*arguments)).status not in (200, 202):
        if time.monotonic() > deadline:
            raise TimeoutError(f"refused without a fault: {answer.status} {answer.code}")
        time.sleep(0.2)
    return answer


def _see_it_work(scenery: Scenery) -> None:
    """Measure how long it takes until a new image is taken in, and until it is encoded and prompted right."""
    entry, client = scenery.injected, scenery.client
    deadline = entry.healed + _HEAL_SECONDS
    scene = scenery.dice.choice(scenery.material.scenes)
    data = scenery.material.fresh(scene)
    name = image_id(data)
    upload = scenery.load.upload(client, data)
    assert upload is not None
    while client.status(name).status != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    entry.answers = time.monotonic() - entry.healed
    scenery.load.follow(client, upload)
    while time.monotonic() < deadline:
        answers = [
            client.checked_masks(scenery.material, scene, name, question, wait=1)
            for question in range(len(scene.questions))
        ]
        if all(answer.status == 200 for answer in answers):
            break
    entry.encodes = time.monotonic() - entry.healed


def only(plan: Plan, faults: Sequence[str]) -> Plan:
    """The plan with these faults alone."""
    return replace(plan, faults=tuple(faults))
