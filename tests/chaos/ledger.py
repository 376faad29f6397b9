"""What was asked and what became of it: every request, every acknowledged upload, every fault, by the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    REFUSED = "refused"  # by a problem document with a code, of a status below 500 or 503
    TRANSPORT = "transport error"
    BROKEN = "broken"  # a status of 500 or above but 503, or an error that is no problem document


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as its client saw it.

    Attributes:
        started, ended: monotonic seconds.
        wait: seconds it asked the service to hold the answer.
        status: None after a transport error.
        code: of the problem document; the error's name after a transport error.
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
        """Seconds it took beyond the wait it asked for."""
        return max(0.0, self.ended - self.started - self.wait)


class End(StrEnum):
    """How the life of an acknowledged upload ended."""

    READY = "ready"
    FAILED = "failed"  # with a recorded, typed error
    GONE = "gone"  # 404 or 410: honest only where the cache lost what it held


@dataclass(slots=True)
class Upload:
    """An image that was acknowledged.

    Attributes:
        poison: it is known that it cannot be encoded.
        acknowledged, ended: monotonic seconds; `ended` None while nothing is known of its end.
        error: code, where it failed.
    """

    image_id: str
    acknowledged: float
    poison: bool = False
    end: End | None = None
    ended: float | None = None
    error: str | None = None


@dataclass(slots=True)
class Injected:
    """A fault that was injected.

    Attributes:
        begun, healed: monotonic seconds: what was broken was put right at `healed`.
        answers, encodes: seconds after `healed` until known images were answered, and a new one was encoded.
        bound: the most that `answers` may be, and that `encodes` may be more than it is without a fault; None: nothing
            was promised but that it heals.
        stops_redis: Redis hangs or is gone: requests are bounded in time by the promise.
        loses_cache: what the cache held may be gone.
        cuts_clients: connections of clients may break.
        victim: image whose encoding was interrupted at `struck`, monotonic seconds.
        note: what else was found, for the table.
        broken: promises that the fault itself found broken.
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
    note: str = ""
    broken: list[str] = field(default_factory=list)

    def strike(self, image_id: str) -> None:
        """Note that the encoding of this image was interrupted now."""
        self.victim, self.struck = image_id, time.monotonic()

    @property
    def over(self) -> float:
        """When the service was seen to work again, monotonic seconds."""
        return self.healed + max(self.answers, self.encodes)

    def saw(self, request: Request, until: float | None = None) -> bool:
        """Whether the request was under way between the injection and `until` (the end of the fault)."""
        return request.ended >= self.begun and request.started <= (self.over if until is None else until)


class Ledger:
    """Written by every thread of the load."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._requests: list[Request] = []
        self._uploads: list[Upload] = []
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

    def settle(self, upload: Upload, end: End, error: str | None = None) -> None:
        with self._lock:
            upload.end, upload.error, upload.ended = end, error, time.monotonic()
            self._lock.notify_all()

    def end_of(self, image_id: str) -> Upload | None:
        """The last upload of that image, if it has come to its end."""
        with self._lock:
            return self._ended(image_id)

    def wait_for_end(self, image_id: str, seconds: float) -> None:
        """Return once the image has come to its end, or after `seconds`."""
        with self._lock:
            self._lock.wait_for(lambda: self._ended(image_id) is not None, seconds)

    def check(self, right: bool, what: str) -> None:
        """Count an answer that was compared; `what` says which it was, should it be wrong."""
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
