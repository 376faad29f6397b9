"""Checks whether a run kept the promises. Each broken promise becomes one sentence. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from tests.chaos.ledger import End, Injected, Outcome, Request, Search, Upload
from tests.chaos.load import IN_MEMORY
from tests.chaos.run import Run

STOPPED_REDIS_SECONDS = 2.0
"""The longest that a request may take, beyond the wait it asked for, while Redis is in trouble."""

ANY_SECONDS = 6.0
"""The longest that a request may ever take: it waits up to 5 s for a turn to decode or for a load that it shares with
another request."""

VICTIM_SECONDS = 30.0
"""The longest that an encoding may take after its worker was killed, counted from the kill."""

_Acknowledged = TypeVar("_Acknowledged", Upload, Search)


def broken_promises(run: Run) -> list[str]:
    """Return the broken promises as sentences; empty if all were kept."""
    requests, uploads = run.ledger.requests, run.ledger.uploads
    return [
        *_nothing_lost(uploads, run.injected),
        *(f"wrong answer: {what}" for what in run.ledger.wrong),
        *_nothing_broken(requests),
        *_in_time(requests, run),
        *_healed(run),
        *_encoded_once_in_calm(run),
        *_searches_end(run),
        *_connections_whole(requests, run.injected),
        *(f"{fault.name}: {_outlived(fault.orphans)}" for fault in run.injected if fault.orphans),
        *_memory_goes_on(requests, run.injected),
        *(f"{fault.name}: {what}" for fault in run.injected for what in fault.broken),
        *(f"the log tells of a bug: {line}" for line in run.problems),
        *([] if run.ledger.checked else ["no answer was compared"]),
    ]


def _outlived(orphans: int) -> str:
    return f"{orphans} decoding processes outlived their worker"


def lost(acknowledged: Iterable[_Acknowledged], injected: Sequence[Injected]) -> list[_Acknowledged]:
    """Uploads or everything jobs without an end, and those that are gone although the cache lost nothing meanwhile."""
    losses = [fault for fault in injected if fault.loses_cache]
    return [
        one
        for one in acknowledged
        if one.end in (None, End.STOPPED) or (one.end is End.GONE and not _may_be_gone(one, losses))
    ]


def _may_be_gone(one: Upload | Search, losses: Iterable[Injected]) -> bool:
    assert one.ended is not None
    return any(fault.begun <= one.ended and one.acknowledged <= fault.over for fault in losses)


def _nothing_lost(uploads: Sequence[Upload], injected: Sequence[Injected]) -> Iterator[str]:
    for upload in lost(uploads, injected):
        yield f"lost upload: image {upload.image_id[:12]}, end {upload.end}"
    for upload in uploads:
        if upload.poison and upload.end is not End.FAILED:
            yield f"image {upload.image_id[:12]} cannot be encoded, and ended {upload.end}"


def _nothing_broken(requests: Iterable[Request]) -> Iterator[str]:
    for request in requests:
        if request.outcome is Outcome.BROKEN:
            yield f"{request.route} was answered {request.status} {request.code}"


def _in_time(requests: Sequence[Request], run: Run) -> Iterator[str]:
    stopped, ever = STOPPED_REDIS_SECONDS * run.plan.slack, ANY_SECONDS * run.plan.slack
    for fault in run.injected:
        if fault.stops_redis:
            yield from _late([request for request in requests if fault.saw(request)], stopped, fault.name)
    yield from _late(requests, ever, "at any time")


def _late(requests: Iterable[Request], most: float, when: str) -> Iterator[str]:
    late = [request.overdue for request in requests if request.overdue > most]
    if late:
        yield f"{when}: {len(late)} requests took longer than {most:g} s, up to {max(late):.1f} s"


def _healed(run: Run) -> Iterator[str]:
    slack = run.plan.slack
    ordinary = run.injected[0].encodes
    for fault in run.injected:
        took = max(fault.answers, fault.encodes - ordinary)
        if fault.bound is not None and took > fault.bound * slack:
            yield (
                f"{fault.name}: worked again only after {took:.1f} s, not {fault.bound * slack:g} s, the "
                f"{ordinary:.1f} s aside that a new image takes without a fault"
            )
        victim = victim_seconds(fault, run)
        if victim is not None and victim > VICTIM_SECONDS * slack:
            yield f"{fault.name}: its image was ready after {victim:.0f} s, not {VICTIM_SECONDS * slack:g} s"


def victim_seconds(fault: Injected, run: Run) -> float | None:
    """Return the seconds from the kill until the interrupted image was ready.

    None if no image was interrupted, or if it did not get ready.
    """
    upload = run.ledger.end_of(fault.victim)
    if upload is None or upload.end is not End.READY or upload.ended is None:
        return None
    return upload.ended - fault.struck


def _encoded_once_in_calm(run: Run) -> Iterator[str]:
    for upload in calm_uploads(run):
        count = run.calm_encodes[upload.image_id]
        if count != 1:
            yield f"image {upload.image_id[:12]} was encoded {count} times without a fault"


def _searches_end(run: Run) -> Iterator[str]:
    for search in lost(run.ledger.searches, run.injected):
        yield f"lost everything job: image {search.image_id[:12]}, end {search.end}"
    for search in run.ledger.searches:
        if search.end is End.FAILED and not search.error:
            yield f"an everything job of image {search.image_id[:12]} failed without a code"
    for search in calm_searches(run):
        count = run.calm_searches[search.image_id]
        if search.end is End.FAILED:
            yield f"an everything job of image {search.image_id[:12]} failed without a fault: {search.error}"
        elif count != 1:
            yield f"every mask of image {search.image_id[:12]} was found {count} times without a fault"


def calm_uploads(run: Run) -> list[Upload]:
    """The uploads that ended before the first fault."""
    return _ended_in_calm(run.ledger.uploads, run)


def calm_searches(run: Run) -> list[Search]:
    """The everything jobs that ended before the first fault."""
    return _ended_in_calm(run.ledger.searches, run)


def _ended_in_calm(acknowledged: Iterable[_Acknowledged], run: Run) -> list[_Acknowledged]:
    until = run.injected[0].over
    return [one for one in acknowledged if one.ended is not None and one.ended <= until]


def _connections_whole(requests: Iterable[Request], injected: Sequence[Injected]) -> Iterator[str]:
    cuts = [fault for fault in injected if fault.cuts_clients]
    for request in requests:
        if request.outcome is Outcome.TRANSPORT and not any(fault.saw(request) for fault in cuts):
            during = ", ".join(fault.name for fault in injected if fault.saw(request))
            yield f"{request.route}: {request.code} though every API process lived ({during})"


def _memory_goes_on(requests: Sequence[Request], injected: Sequence[Injected]) -> Iterator[str]:
    for fault in injected:
        if fault.stops_redis and not fault.loses_cache:
            seen = [r for r in requests if r.route == IN_MEMORY and fault.saw(r, until=fault.healed)]
            refused = [request for request in seen if request.outcome is not Outcome.ANSWERED]
            if refused:
                yield f"{fault.name}: {len(refused)} of {len(seen)} prompts on an image in memory were refused"
