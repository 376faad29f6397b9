"""One run: start the service, see that it works, load it, and break it in every way."""

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

_ORPHANED_SECONDS = 5.0
"""That a process may still decode after its worker has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The size of a run.

    Attributes:
        kept: number of images that are prompted during the whole run. An API process has memory for three quarters.
        calm: seconds of load before the first fault.
        hold: seconds that a fault of Redis or the network lasts.
        encoding: the shortest time in seconds that an encoding takes.
        prepared: bytes of one image in an API's memory.
        slack: factor for all bounds in seconds, for machines that also do other work.
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
    pace=Pace(lives=2, life_pause=2.5, prompters=2, prompt_pause=0.25, searchers=1, search_pause=5.0),
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
    pace=Pace(lives=2, life_pause=0.2, prompters=1, prompt_pause=0.05, searchers=1, search_pause=0.5),
    calm=1.0,
    hold=1.0,
    encoding=0.0,
    prepared=70_000,
    slack=3.0,
    settings={"SAM_EVERYTHING_NICE": "0"},  # other tests keep the processor busy, and would take all of it
    faults=(
        "decoding process killed in mid-image",
        "decoding process stopped for a while",
        "worker killed after the pop",
        "worker killed after the write",
        "API process killed",
        "Redis stopped, cache and queue",
        "queue killed, back with its AOF",
        "disk full under the queue's AOF",
        "embeddings damaged",
        "cache evicts regions",
        "DELETE while regions encode",
        "mask worker told to stop",
        "DELETE while its masks are sought",
        "cache evicts found masks",
        "files that are no images",
        "connections reset",
        "values cut in the middle",
        "cache killed, back empty",
    ),
)
"""A run without weights and without the faults that need long to heal. With this model, a kill in the middle of an
encoding is the same as a kill after the pop."""


@dataclass(frozen=True, slots=True)
class Run:
    """The results of a run.

    Attributes:
        injected: the faults; the first entry is the calm before them.
        calm_encodes, encodes: embeddings written, by image id: before the first fault, and after that.
        calm_searches, searches: the same of the masks of everything jobs.
        problems: lines of the service's log that report a bug.
        seconds: time from the first image to the last answer.
    """

    plan: Plan
    seed: int
    ledger: Ledger
    injected: Sequence[Injected]
    calm_encodes: Counter[str]
    encodes: Counter[str]
    calm_searches: Counter[str]
    searches: Counter[str]
    problems: Sequence[str]
    seconds: float


def run(plan: Plan, seed: int, say: Callable[[str], None] = lambda _: None) -> Run:
    """Run the plan. This takes minutes.

    Args:
        seed: for the images, the prompts and the load. The plan gives the order of the faults.
        say: called with one line after each fault.
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
            calm_searches: Counter[str] = Counter()
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
                if entry.victim:  # otherwise the next fault might hit the worker that takes over
                    ledger.wait_for_end(entry.victim, LOST_AFTER)
                entry.orphans = _orphans(stack, plan.slack)
                if not injected:
                    calm_encodes, calm_searches = stack.encodes.copy(), stack.searches.copy()
                injected.append(entry)
                say(
                    f"{time.monotonic() - started:5.0f} s  {fault.name}: answers after {entry.answers:.1f} s, "
                    f"encodes after {entry.encodes:.1f} s"
                )
        load.require_whole()
        client.close()
        problems = list(stack.problems)
        return Run(
            plan,
            seed,
            ledger,
            injected,
            calm_encodes,
            stack.encodes - calm_encodes,
            calm_searches,
            stack.searches - calm_searches,
            problems,
            time.monotonic() - started,
        )


def _calm(seconds: float) -> Fault:
    """Return the time before the first fault, for comparison."""

    @contextmanager
    def inject(_: Scenery) -> Iterator[None]:
        time.sleep(seconds)
        yield

    return Fault("no fault", inject, bound=None)


def _learn(url: str, ledger: Ledger, material: Material, count: int) -> list[Kept]:
    """Upload each image several times at once, and record the answers given now as the right ones.

    Every mask of each is asked for several times at once too.
    """
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
        material.learn_similar(one.scene, _answered(client.similar, one.image_id, one.scene.search).body)
        material.learn_embedding(one.scene, _answered(client.embedding, one.image_id).body)
        with ThreadPoolExecutor(len(clients)) as pool:
            asked = pool.map(lambda client, one=one: _answered(client.search, one.image_id), clients)
            (job,) = {answer.document["job"] for answer in asked}
        search = ledger.acknowledge_search(one.image_id, job)
        while (found := _answered(client.job, one.image_id, job, 5)).document["status"] in ("queued", "running"):
            pass
        if found.document["status"] != "done":
            raise RuntimeError(f"an everything job failed without a fault: {found.document['error']}")
        ledger.settle(search, End.READY)
        material.learn_search(one.scene, found.body)
    for each in clients:
        each.close()
    assert material.tells_scenes_apart()
    return kept


def _answered(ask: Callable[..., Answer], *arguments: object) -> Answer:
    """Ask until the service does not refuse: on a very busy machine it may refuse without a fault."""
    deadline = time.monotonic() + _HEAL_SECONDS
    while (answer := ask(*arguments)).status not in (200, 202):
        if time.monotonic() > deadline:
            raise TimeoutError(f"refused without a fault: {answer.status} {answer.code}")
        time.sleep(0.2)
    return answer


def _see_it_work(scenery: Scenery) -> None:
    """Measure the time until the service knows a new image, and until it is encoded and all its prompts succeed."""
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


def _orphans(stack: ChaosStack, slack: float) -> int:
    """Count the processes that decode for a worker that has ended. They get a few seconds to notice its end."""
    deadline = time.monotonic() + _ORPHANED_SECONDS * slack
    while (left := len(stack.orphans())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def only(plan: Plan, faults: Sequence[str]) -> Plan:
    """Return the plan with only these faults."""
    return replace(plan, faults=tuple(faults))
