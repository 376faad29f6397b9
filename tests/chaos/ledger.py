"""The record of a run: every request, every acknowledged upload and every fault, with times and results."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    REFUSED = "refused"  # with a problem document that has a code; the status is below 500, or 503
    TRANSPORT = "transport error"
    BROKEN = "broken"  # a status of 500 or above except 503, or an error that is not a problem document


@dataclass(frozen=True, slots=True)
class Request:
    """One request as its client saw it.

    Attributes:
        started, ended: monotonic seconds.
        wait: seconds for which it asked the service to hold the answer.
        status: None after a transport error.
        code: code of the problem document, or the error's name after a transport error.
    """

    route: str
    started: float
    ended: float
    wait: float
    status: int | None
    code: str | None

    @property
    def outcome(self) -> Outcome:
        if self.status is None:
            return Outcome.TRANSPORT
        if self.status < 400:
            return Outcome.ANSWERED
        if self.code is None or (self.status >= 500 and self.status != 503):
            return Outcome.BROKEN
        return Outcome.REFUSED

    @property
    def overdue(self) -> float:
        """Seconds that it took beyond the wait it asked for."""
        return max(0.0, self.ended - self.started - self.wait)


class End(StrEnum):
    """How the life of an acknowledged upload ended."""

    READY = "ready"
    FAILED = "failed"  # with a recorded, typed error
    GONE = "gone"  # 404 or 410: allowed only where the cache lost its data
    STOPPED = "stopped"  # an everything job that nobody stopped: never allowed


@dataclass(slots=True)
class Upload:
    """An image whose upload was acknowledged.

    Attributes:
        poison: the image cannot be encoded, and the test knows it.
        acknowledged, ended: monotonic seconds; `ended` is None until the end is known.
        error: the error's code, if it failed.
    """

    image_id: str
    acknowledged: float
    poison: bool = False
    end: End | None = None
    ended: float | None = None
    error: str | None = None


@dataclass(slots=True)
class Search:
    """An everything job that was acknowledged. Its end is `READY` when its masks are there.

    Attributes:
        job: its name.
        acknowledged, ended: monotonic seconds; `ended` is None until the end is known.
        error: the error's code, if it failed.
    """

    image_id: str
    job: str
    acknowledged: float
    end: End | None = None
    ended: float | None = None
    error: str | None = None


@dataclass(slots=True)
class Injected:
    """A fault that was injected.

    Attributes:
        begun, healed: monotonic seconds; the fault ended at `healed`.
        answers: seconds from `healed` until a newly uploaded image was known to the service.
        encodes: seconds from `healed` until that image was encoded and prompted.
        bound: the most seconds for `answers`, and for `encodes` beyond its time without a fault. None promises no time,
            only that the service heals.
        stops_redis: Redis hangs or is gone; the promised time limit for requests applies.
        loses_cache: the cache's data may be gone.
        cuts_clients: connections of clients may break.
        victim: the image whose encoding was interrupted at `struck` (monotonic seconds).
        orphans: processes that still decoded for a worker some seconds after its end.
        note: other findings, for the table.
        broken: promises that the fault's own checks found broken.
    """

    name: str
    begun: float
    bound: float | None = None
    stops_redis: bool = False
    loses_cache: bool = False
    cuts_clients: bool = False
    healed: float = 0.0
    answers: float = 0.0
    encodes: float = 0.0
    victim: str = ""
    struck: float = 0.0
    orphans: int = 0
    note: str = ""
    broken: list[str] = field(default_factory=list)

    def strike(self, image_id: str) -> None:
        """Record that the encoding of this image was interrupted now."""
        self.victim, self.struck = image_id, time.monotonic()

    @property
    def over(self) -> float:
        """Monotonic seconds at which the service was seen to work again."""
        return self.healed + max(self.answers, self.encodes)

    def saw(self, request: Request, until: float | None = None) -> bool:
        """Return whether the request was running between the injection and `until`, by default the end of the fault."""
        return request.ended >= self.begun and request.started <= (self.over if until is None else until)


class Ledger:
    """The record of a run. Every thread of the load writes to it."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._requests: list[Request] = []
        self._uploads: list[Upload] = []
        self._searches: list[Search] = []
        self._wrong: list[str] = []
        self._checked = 0

    def record(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def acknowledge(self, image_id: str, *, poison: bool = False) -> Upload:
        upload = Upload(image_id, time.monotonic(), poison)
        with self._lock:
            self._uploads.append(upload)
        return upload

    def acknowledge_search(self, image_id: str, job: str) -> Search:
        search = Search(image_id, job, time.monotonic())
        with self._lock:
            self._searches.append(search)
        return search

    def settle(self, one: Upload | Search, end: End, error: str | None = None) -> None:
        with self._lock:
            one.end, one.error, one.ended = end, error, time.monotonic()
            self._lock.notify_all()

    def end_of(self, image_id: str) -> Upload | None:
        """Return the last upload of that image, or None if it has not ended."""
        with self._lock:
            return self._ended(image_id)

    def is_under_way(self, image_id: str) -> bool:
        """Return whether the image was not seen to be encoded yet. A job for it is then one for the whole image."""
        return self.end_of(image_id) is None

    def wait_for_end(self, image_id: str, seconds: float) -> None:
        """Wait until the upload of the image has ended, at most `seconds`."""
        with self._lock:
            self._lock.wait_for(lambda: self._ended(image_id) is not None, seconds)

    def check(self, right: bool, what: str) -> None:
        """Count a compared answer. `what` describes the answer if it was wrong."""
        with self._lock:
            self._checked += 1
            if not right:
                self._wrong.append(what)

    @property
    def requests(self) -> Sequence[Request]:
        with self._lock:
            return list(self._requests)

    @property
    def uploads(self) -> Sequence[Upload]:
        with self._lock:
            return list(self._uploads)

    @property
    def searches(self) -> Sequence[Search]:
        with self._lock:
            return list(self._searches)

    @property
    def wrong(self) -> Sequence[str]:
        with self._lock:
            return list(self._wrong)

    @property
    def checked(self) -> int:
        with self._lock:
            return self._checked

    def _ended(self, image_id: str) -> Upload | None:
        found = (upload for upload in reversed(self._uploads) if upload.image_id == image_id)
        last = next(found, None)
        return last if last is not None and last.end is not None else None
