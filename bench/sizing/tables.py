"""Plans as Markdown tables, for people and for `docs/scaling.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from bench.sizing.assumptions import CLICKING, HOVERING, Costs, Work
from bench.sizing.gpus import GPUS
from bench.sizing.plan import Plan, plan, simulated_misses

SIZES = ((10, 1.0), (1_000, 0.25), (1_000_000, 0.01))
"""Numbers of annotators, and the fraction of their images that Redis has memory for."""

_STYLES = {"clicking": CLICKING, "hovering": HOVERING}
_PARTS = (1.0, 0.25, 0.05, 0.01)


def plans_table(plans: Sequence[tuple[str, Plan]]) -> str:
    """A table with a column for each plan, under its name."""
    rows: list[tuple[str, list[str]]] = [
        ("prompts/s", [_count(one.prompts) for _, one in plans]),
        ("visits to images/s", [_count(one.visits) for _, one in plans]),
        ("prompts answered from a replica's memory", [f"{100 * one.memory_hits:.1f} %" for _, one in plans]),
        ("visits that find their image in Redis", [f"{100 * one.misses.fetched:.0f} %" for _, one in plans]),
        ("visits that need an encoding", [f"{100 * one.misses.encoded:.0f} %" for _, one in plans]),
        ("**API cores**, a replica on each", [f"{one.cores:,}" for _, one in plans]),
        ("memory of prepared images per replica", [_size(one.replica_bytes) for _, one in plans]),
        ("images in Redis", [f"{one.cached_images:,.0f}" for _, one in plans]),
    ]
    for dtype in ("float16", "int8"):
        rows.append(
            (
                f"**Redis**, {dtype}",
                [f"{_size(one.cached_bytes[dtype])}, {_nodes(one.nodes[dtype])}" for _, one in plans],
            )
        )
    rows += [
        ("Redis to replicas", [_size(one.fetched_bytes) + "/s" for _, one in plans]),
        ("masks to clients", [_size(one.answered_bytes) + "/s" for _, one in plans]),
        ("photos to the service", [_size(one.uploaded_bytes) + "/s" for _, one in plans]),
        ("instead of the masks, if browsers decode: embeddings", [_size(one.browser_bytes) + "/s" for _, one in plans]),
        ("**gateway cores**", [f"{one.gateway_cores:,}" for _, one in plans]),
        ("encodings/s", [_count(one.encodings) for _, one in plans]),
        ("**mobile_sam on CPUs**: cores", [f"{one.encoder_cores:,}" for _, one in plans]),
    ]
    rows += [
        (f"**{name}**: {encoder.device}", [f"or {one.gpus[name]:,}" for _, one in plans])
        for name, encoder in GPUS.items()
    ]
    lines = ["| | " + " | ".join(name for name, _ in plans) + " |", "|---|" + "---|" * len(plans)]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows)]) + "\n"


def sizes_table(costs: Costs) -> str:
    """The table of plans in `docs/scaling.md`."""
    plans = [
        (
            f"{annotators:,} {style}",
            plan(Work(annotators=annotators, cached=cached, prompts_per_second=prompts), costs),
        )
        for annotators, cached in SIZES
        for style, prompts in _STYLES.items()
    ]
    return plans_table(plans)


def costs_table(costs: Costs) -> str:
    """The table of costs, with the memory of a million images in Redis."""
    lines = [
        "| one of everything | |",
        "|---|---|",
        f"| `prompt_ms`: processor time of a replica, prompt on an image in memory | {costs.prompt_ms:g} ms |",
        f"| `first_ms`: more for an image's first prompts (fetch, prepare) | {costs.first_ms:g} ms |",
        f"| `gateway_ms`: processor time of the gateway for a prompt | {costs.gateway_ms:g} ms |",
        f"| `encode_ms`: processor time of MobileSAM for an image | {costs.encode_ms:g} ms |",
        f"| `prepared_bytes`: an image in a replica's memory | {_size(costs.prepared_bytes)} |",
        f"| `float16_bytes`, also `int16`; a million images | {_size(costs.float16_bytes)}; "
        f"{_size(1e6 * costs.float16_bytes)} |",
        f"| `int8_bytes`; a million images | {_size(costs.int8_bytes)}; {_size(1e6 * costs.int8_bytes)} |",
        f"| `answer_bytes`: three masks as RLE | {_size(costs.answer_bytes)} |",
    ]
    lines += [f"| one of {name} | {one.images_per_second:.3g} images/s ({one.source}) |" for name, one in GPUS.items()]
    return "\n".join(lines) + "\n"


def misses_table() -> str:
    """How many visits need an encoding, by the cache's size and its way of eviction."""
    work = {one.name: one.default for one in fields(Work)}
    lines = ["| part of the images that Redis has room for | `allkeys-lfu` | `allkeys-lru` |", "|---|---|---|"]
    for part in _PARTS:
        cells = []
        for eviction in ("lfu", "lru"):
            misses = simulated_misses(work["fresh"], work["images_per_annotator"], part, work["skew"], eviction)
            cells.append(f"{100 * misses.encoded:.0f} %")
        lines.append(f"| {100 * part:g} % | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _nodes(number: int) -> str:
    return f"{number:,} node{'s' if number > 1 else ''}"


def _size(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < 1000 * size else f"{number / size:,.0f} {unit}"
    return f"{number / 1e3:.3g} kB"
