"""What a run of `make chaos` saw, as JSON, and as docs/chaos.md shows it between its `chaos` markers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from tests.chaos.judge import calm_searches, calm_uploads, lost, victim_seconds
from tests.chaos.ledger import End, Injected, Outcome, Request
from tests.chaos.run import Run
from tests.chaos.stack import API_PROCESSES, MASK_WORKERS, WORKERS

FOLDER = Path(__file__).with_name("results")
"""The folder of recorded runs."""

Document = Mapping[str, Any]


def as_json(run: Run, broken: Sequence[str]) -> dict[str, Any]:
    """Return all data of the run that readers may need."""
    requests, uploads = run.ledger.requests, run.ledger.uploads
    calm = {upload.image_id for upload in calm_uploads(run)}
    under_faults = Counter(run.encodes[u.image_id] for u in uploads if u.image_id not in calm and u.end is End.READY)
    return {
        "about": {
            **machine.about(quick=run.plan.model == "fake"),
            "model": run.plan.model,
            "seed": run.seed,
            "seconds": round(run.seconds),
            "api processes": API_PROCESSES,
            "workers": WORKERS,
            "workers that take several images": 1,
            "mask workers": MASK_WORKERS,
        },
        "faults": [_fault(fault, run) for fault in run.injected],
        "totals": {
            "faults": len(run.injected) - 1,
            "requests": len(requests),
            "outcomes": dict(Counter(request.outcome.value for request in requests).most_common()),
            "refusals": dict(_codes(requests, Outcome.REFUSED).most_common()),
            "transport errors": dict(_codes(requests, Outcome.TRANSPORT).most_common()),
            "longest wait": _longest_by_route(requests),
            "compared": run.ledger.checked,
            "wrong": len(run.ledger.wrong),
            "server errors": sum(request.outcome is Outcome.BROKEN for request in requests),
            "uploads": len(uploads),
            "ends": dict(Counter(str(u.end) for u in uploads if not u.poison).most_common()),
            "poison": dict(Counter(u.error for u in uploads if u.poison).most_common()),
            "lost": len(lost(uploads, run.injected)),
            "encodes per image": {
                "without faults": dict(sorted(Counter(run.calm_encodes[name] for name in calm).items())),
                "with faults": dict(sorted(under_faults.items())),
            },
            "everything": _searches(run),
            "orphans": sum(fault.orphans for fault in run.injected),
        },
        "broken": list(broken),
    }


def markdown(record: Document, name: str) -> str:
    """Return the tables, and a description of the machine.

    Args:
        name: name of the record's file in `FOLDER`.
    """
    about, totals = record["about"], record["totals"]
    encodes = totals["encodes per image"]
    rows = [
        ("faults injected", totals["faults"]),
        ("requests sent", totals["requests"]),
        ("answered", totals["outcomes"].get("answered", 0)),
        ("refused, by code", _counts(totals["refusals"])),
        ("connections broken, where an API process was killed", sum(totals["transport errors"].values())),
        ("longest wait, by route, beyond the `wait` asked for", _waits(totals["longest wait"])),
        ("uploads acknowledged", totals["uploads"]),
        ("their ends", _counts(totals["ends"])),
        ("poison images, by the error they ended in", _counts(totals["poison"])),
        ("encodes per image without faults", _encodes(encodes["without faults"])),
        ("encodes per image with faults", _encodes(encodes["with faults"])),
        *_rows_of_jobs(totals.get("everything")),
        ("masks and embeddings compared with those without faults", totals["compared"]),
        ("**wrong masks**", f"**{totals['wrong']}**"),
        ("**lost uploads**", f"**{totals['lost']}**"),
        ("**server errors (500)**", f"**{totals['server errors']}**"),
        *_row_of_orphans(totals),
    ]
    lines = [
        f"Run of {about['date'][:10]}, {about['seconds']} s, seed {about['seed']}: `{about['model']}`, "
        f"{about['api processes']} API processes, {about['workers']} workers{_several(about)}, {_mask_workers(about)}"
        "two Valkeys behind a proxy, "
        f"{about['cores']} cores. {_verdict(record['broken'])} "
        f"[Everything seen](../tests/chaos/results/{name}); `make chaos` does it again.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "<details><summary>Fault by fault</summary>",
        "",
        "| fault | answered / refused / broken off while it lasted | longest wait | answers again | encodes again |",
        "|---|---|---|---|---|",
        *(_row(fault) for fault in record["faults"]),
        "",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


def _mask_workers(about: Document) -> str:
    return f"{about['mask workers']} mask worker, " if "mask workers" in about else ""


def _several(about: Document) -> str:
    count = about.get("workers that take several images")
    return f" ({count} of them takes several images at once)" if count else ""


def _row_of_orphans(totals: Document) -> list[tuple[str, Any]]:
    """The row about processes that decode, which older runs had not."""
    return [("**decoding processes without a worker**", f"**{totals['orphans']}**")] if "orphans" in totals else []


def _rows_of_jobs(jobs: Document | None) -> list[tuple[str, Any]]:
    """The rows about everything jobs, which runs before 2026-11-27 had not."""
    if jobs is None:
        return []
    searches = jobs["searches per image"]
    return [
        ("everything jobs acknowledged", jobs["jobs"]),
        ("their ends, and the longest", f"{_counts(jobs['ends'])}; {jobs['longest']:.1f} s"),
        ("errors of those that failed", _counts(jobs["errors"])),
        ("searches per image without faults", _encodes(searches["without faults"])),
        ("searches per image with faults", _encodes(searches["with faults"])),
        ("**lost everything jobs**", f"**{jobs['lost']}**"),
    ]


def file_name(record: Document) -> str:
    """Name the file by day and seed, so that runs with different seeds do not overwrite each other."""
    about = record["about"]
    return f"{about['date'][:10]}-seed-{about['seed']}-chaos.json"


def failed(record: Document) -> bool:
    """Tell whether the run broke a promise."""
    return bool(record["broken"])


def other_runs(name: str) -> str:
    """Return a list in Markdown of the whole runs in `FOLDER` that are not the one in the file `name`, newest first."""
    records = {file: read(file) for file in FOLDER.glob("*-chaos.json") if file.name != name}
    whole = {file: record for file, record in records.items() if not record["about"]["quick"]}
    lines = [
        f"- [{about['date'][:10]}, seed {about['seed']}](../tests/chaos/results/{file.name}): "
        f"{record['totals']['faults']} faults, {record['totals']['requests']} requests. {_verdict(record['broken'])}"
        for file, record in sorted(whole.items(), key=lambda item: str(item[1]["about"]["date"]), reverse=True)
        for about in [record["about"]]
    ]
    return "\n".join(lines) + "\n"


def read(file: Path) -> Document:
    document = json.loads(file.read_text())
    assert isinstance(document, dict)
    return document


def _searches(run: Run) -> dict[str, Any]:
    searches, calm = run.ledger.searches, {search.image_id for search in calm_searches(run)}
    ready = {one.image_id for one in searches if one.end is End.READY} - calm
    return {
        "jobs": len(searches),
        "ends": dict(Counter(str(one.end) for one in searches).most_common()),
        "errors": dict(Counter(str(one.error) for one in searches if one.end is End.FAILED).most_common()),
        "longest": round(max((one.ended - one.acknowledged for one in searches if one.ended), default=0.0), 1),
        "lost": len(lost(searches, run.injected)),
        "searches per image": {
            "without faults": dict(sorted(Counter(run.calm_searches[name] for name in calm).items())),
            "with faults": dict(sorted(Counter(run.searches[name] for name in ready).items())),
        },
    }


def _fault(fault: Injected, run: Run) -> dict[str, Any]:
    seen = [request for request in run.ledger.requests if fault.saw(request, until=fault.healed)]
    during = [request for request in run.ledger.requests if fault.saw(request)]
    outcomes = Counter(request.outcome for request in seen)
    victim = victim_seconds(fault, run)
    return {
        "name": fault.name,
        "seconds": round(fault.healed - fault.begun, 1),
        "answered": outcomes[Outcome.ANSWERED],
        "refused": outcomes[Outcome.REFUSED],
        "transport": outcomes[Outcome.TRANSPORT],
        "longest wait": round(max((request.overdue for request in during), default=0.0), 2),
        "answers again": round(fault.answers, 2),
        "encodes again": round(fault.encodes, 2),
        "image at hand ready after": None if victim is None else round(victim, 1),
        "note": fault.note,
    }


def _row(fault: Document) -> str:
    name = fault["name"]
    if fault["image at hand ready after"] is not None:
        name += f" (its image ready after {fault['image at hand ready after']} s)"
    if fault["note"]:
        name += f" ({fault['note']})"
    counts = f"{fault['answered']} / {fault['refused']} / {fault['transport']}"
    return (
        f"| {name} | {counts} | {fault['longest wait']:.2f} s | {fault['answers again']:.1f} s "
        f"| {fault['encodes again']:.1f} s |"
    )


def _codes(requests: Sequence[Request], outcome: Outcome) -> Counter[str]:
    return Counter(str(request.code) for request in requests if request.outcome is outcome)


def _longest_by_route(requests: Sequence[Request]) -> dict[str, float]:
    routes = dict.fromkeys(request.route for request in requests)
    return {route: round(max(r.overdue for r in requests if r.route == route), 2) for route in routes}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _waits(waits: Mapping[str, float]) -> str:
    return ", ".join(f"{route} {seconds:.2f} s" for route, seconds in waits.items())


def _encodes(images: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} for {number} images" for count, number in images.items()) or "none"


def _verdict(broken: Sequence[str]) -> str:
    return f"{len(broken)} promises were broken." if broken else "Every promise was kept."
