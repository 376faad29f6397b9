"""`python -m bench.soak`: many uploads and prompts, while memory, files, threads and keys are watched for leaks."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import redis

from bench import machine
from bench.soak_load import Client, Plan, Tally, delete_all
from bench.soak_result import PROCESSES, Result, latency_of, leaks, table, trend_of
from bench.summary import FOLDER
from bench.vitals import Vitals, of_process, of_redis
from tests.support.stack import ObservedStack

TTL = 60
"""Seconds that images, embeddings, tokens and failures live. It is short, so that they expire during the run."""

_SAMPLE_SECONDS = 3.0
_SAID = 20  # samples between two lines of progress
_SETTLE_SECONDS = 120.0
_MB = 1_000_000

_LIVES = [f"SAM_{name}_TTL" for name in ("IMAGE", "EMBEDDING", "MASK_TOKEN", "FAILURE")]
_PATIENCE = {"SAM_REDIS_TIMEOUT": "10"}  # a busy machine must not end the run: its subject is leaks, not speed
PARTS: Mapping[str, tuple[Mapping[str, str], Plan]] = {
    "fake": (
        {"SAM_EMBEDDING_LRU_BYTES": str(2 * _MB), "SAM_LOGITS_LRU_BYTES": str(8 * _MB)},
        Plan(prompts=100_000, uploads=2_000, clients=4, recent=4, size=(400, 300)),
    ),
    # An image takes 28 MB of memory: the cache holds three of the eight that are prompted at once.
    "mobile_sam": (
        {"SAM_EMBEDDING_LRU_BYTES": str(100 * _MB), "SAM_LOGITS_LRU_BYTES": str(8 * _MB)},
        Plan(prompts=10_000, uploads=250, clients=2, recent=4, size=(1200, 800)),
    ),
}
"""Settings and plan by model. Both caches are far too small for the load, so that they fill up and evict."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak. The exit status is 1 if memory grew or anything was left behind."""
    options = _parse(arguments)
    about = machine.about(quick=options.scale < 1)
    passed = True
    for model in [options.model] if options.model else PARTS:
        result = run(model, options.scale)
        passed &= result.passed
        if options.scale >= 1:
            path = FOLDER / f"{about['date'][:10]}-soak-{model}.json"
            path.write_text(json.dumps({"about": about, **result.as_json()}, indent=1) + "\n")
            print(f"wrote {path}")
    return int(not passed)


def run(model: str, scale: float = 1.0, *, ttl: int = TTL) -> Result:
    """Run one part, and print its table.

    Args:
        scale: the fraction of the plan's prompts and uploads to send.
        ttl: seconds that images, embeddings, tokens and failures live.
    """
    settings, plan = PARTS[model]
    plan = replace(plan, prompts=int(plan.prompts * scale), uploads=int(plan.uploads * scale))
    with ObservedStack({"SAM_MODEL": model, **_PATIENCE, **dict.fromkeys(_LIVES, str(ttl)), **settings}) as stack:
        watch = _Watch(stack)
        warm = Tally()
        _prompted(stack, replace(plan, prompts=20 * plan.clients, uploads=plan.clients), warm)
        before = _settled(stack, watch, warm)
        tally = Tally()
        started = time.monotonic()
        with watch.during(tally):
            _prompted(stack, plan, tally)
        seconds = time.monotonic() - started
        after = _settled(stack, watch, tally, like=before)
    result = Result(
        model=model,
        plan=plan,
        seconds=seconds,
        trends={name: trend_of(watch.samples, name) for name in PROCESSES[:2]},
        latency=latency_of(tally.milliseconds),
        answers=dict(sorted(tally.answers.items())),
        leaks=leaks(before, after),
        samples=[*watch.samples, after],
    )
    print(table(result), flush=True)
    return result


class _Watch:
    """Takes samples of a stack, when asked or at intervals."""

    def __init__(self, stack: ObservedStack) -> None:
        self._stack = stack
        self._clients = [redis.Redis.from_url(url) for url in (stack.valkey_url, stack.queue_url)]
        self._began = time.monotonic()
        self.samples: list[Vitals] = []

    def look(self, tally: Tally) -> Vitals:
        seen = [of_redis(client) for client in self._clients]
        keys: Counter[str] = sum((Counter(kinds) for kinds, _ in seen), Counter())
        lasting = sum(count for _, count in seen)
        processes = {name: of_process(self._stack.pids(name)[0]) for name in PROCESSES}
        at = round(time.monotonic() - self._began, 1)
        return Vitals(at, tally.prompts, tally.uploads, processes, keys, lasting)

    def during(self, tally: Tally) -> _Looking:
        self._began = time.monotonic()
        return _Looking(self, tally)


class _Looking:
    """A context during which the watch takes samples, in a thread of its own."""

    def __init__(self, watch: _Watch, tally: Tally) -> None:
        self._watch, self._tally = watch, tally
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._watch.samples.append(self._watch.look(self._tally))

    def _run(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            vitals = self._watch.look(self._tally)
            self._watch.samples.append(vitals)
            if len(self._watch.samples) % _SAID == 0:
                print(f"{vitals.at:.0f} s: {vitals.prompts:,} prompts, {vitals.uploads:,} uploads", flush=True)


def _prompted(stack: ObservedStack, plan: Plan, tally: Tally) -> None:
    clients = [Client(number, stack.url, plan, tally) for number in range(plan.clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
        if client.failure is not None:
            raise client.failure


def _settled(stack: ObservedStack, watch: _Watch, tally: Tally, *, like: Vitals | None = None) -> Vitals:
    """The state of the service once everything is deleted or has expired. Waits `_SETTLE_SECONDS` for it at most."""
    delete_all(stack.url, tally.left)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        vitals = watch.look(tally)
        images = sum(count for kind, count in vitals.keys.items() if kind.startswith(("sam:", "rq:job")))
        if (not images and (like is None or not leaks(like, vitals))) or time.monotonic() > deadline:
            return vitals
        time.sleep(1)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("model", nargs="?", choices=list(PARTS), help="the part to run; both without it")
    parser.add_argument("--scale", type=float, default=1.0, help="of the load; from 1 on it is recorded")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
