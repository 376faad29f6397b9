"""One turn of `bench.encode --host` on the checkout that PYTHONPATH names: `start.py turn PLAN OUT`.

Another commit's code runs in it too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path

from bench.host import names
from bench.host.alone import in_plain_processes, jpegs
from bench.host.encoders import FreeEncoder
from bench.host.plan import WARM, Plan
from bench.host.redis_rows import one_worker, several_workers
from bench.host.spent import Clocks, Row, Spent, row
from bench.host.use_case import decoding_processes, upload, use_case

_FULL = 8
"""Batches for each of several workers, at least. A worker takes four at once, and none may be left without work."""


def main(plan: str, out: str) -> None:
    """Write what each way took, by its name. Both arguments are those of `start`: a `Plan` as JSON, and a file."""
    names.configure_logs(names.Settings(log_level="WARNING"), "bench")
    told = json.loads(plan)
    rows = measured(Plan(**{**told, "size": tuple(told["size"]), "processes": tuple(told["processes"])}))
    Path(out).write_text(json.dumps(rows), encoding="utf-8")


def measured(plan: Plan) -> dict[str, Row]:
    """Return what each way took, by its name."""
    files = jpegs(plan.size, WARM * plan.most + max(plan.images, _FULL * plan.batch * plan.most))
    some = files[: WARM * plan.most + plan.images]
    rows: dict[str, Row] = {}
    for count in plan.processes:
        rows[f"decoding and resizing alone, {count} processes"] = in_plain_processes(plan, count, resize=True)
    rows["pipeline from JPEG bytes"] = in_pipeline(some, plan)
    for count in plan.processes if names.DecodingProcesses else [plan.most]:
        rows[f"RQ to Redis, {count} processes"] = one_worker(some, plan, count)
    if plan.encoder_seconds:
        return rows
    if names.DecodingProcesses:
        for count in plan.processes:
            images = WARM * count + max(plan.images, _FULL * plan.batch * count)
            name = f"RQ to Redis, {count} workers that decode themselves"
            rows[name] = several_workers(files[:images], plan, count)
    if names.ResizingEncoder:
        for count in plan.processes:
            rows[f"decoding alone, {count} processes"] = in_plain_processes(plan, count, resize=False)
        for count in plan.processes:
            rows[f"RQ to Redis, {count} processes, the card resizes"] = one_worker(some, plan, count, card_resizes=True)
    return rows


def in_pipeline(files: Sequence[bytes], plan: Plan) -> Row:
    """From JPEG bytes to stored embeddings in memory, without RQ and Redis. The first files are not counted."""
    store, spent = names.MemoryStore(), Spent()
    keys = [upload(store, data) for data in files]
    warm, timed = keys[: WARM * plan.most], keys[WARM * plan.most :]
    encoder = FreeEncoder(plan.batch, plan.encoder_seconds)
    with (
        decoding_processes(plan.most, spent) as (decoder, decoders),
        use_case(store, names.MemoryEvents(), encoder, spent, decoder) as encode,
        closing(names.EncodePipeline(encode)) as pipeline,
    ):
        for done in [pipeline.submit(key) for key in warm]:
            done.result()
        clocks, began = Clocks(spent, decoders, None), time.perf_counter()
        futures = [pipeline.submit(key) for key in timed]
        wait(futures)
        seconds = time.perf_counter() - began
        for done in futures:
            done.result()
        return row(len(futures), seconds, clocks.per_image(len(futures)))
