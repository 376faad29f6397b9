"""Decoded pictures that stay in memory for a while, because more regions of them may be asked for.

To decode 50 megapixels takes longer than to encode a region of them, so it is done once for many regions.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder_worker.metrics.counting import WorkerMetrics
from shared.contract.errors import RequestError

_MOST_REFUSED = 64
"""Pictures of which it is remembered why they cannot be decoded."""

_SHORTEST_PAUSE = 0.05
"""Seconds between two looks for pictures that nobody uses, at least."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Kept:
    """A picture that is kept.

    Attributes:
        rgb: (H, W, 3) uint8, read-only.
        for_regions: a region of it was asked for.
        used: seconds of the clock, at its last use.
        readers: how many threads read it now. While there is one, it is not dropped.
    """

    rgb: NDArray[np.uint8]
    for_regions: bool
    used: float
    readers: int = 0


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why a picture cannot be decoded, and when that was found. It is no exception, which would keep frames alive."""

    kind: type[RequestError]
    detail: str
    extra: dict[str, Any]
    since: float


@dataclass(slots=True, eq=False)
class _Turn:
    """A lock, and how many threads hold it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class DecodedPictures:
    """Upright RGB pixels of whole pictures by image id, limited in bytes. Thread-safe.

    Where there is no room, those that were not used for the longest time make way. A picture that a thread reads never
    does. A picture that nobody uses for `idle` seconds is dropped.
    """

    def __init__(
        self,
        most: int,
        idle: float,
        *,
        metrics: WorkerMetrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        most: bytes that all pictures together may take. With 0 nothing is kept.
        idle: seconds after its last use at which a picture is dropped.
        metrics: where the bytes are told.
        clock: seconds from any start.
        """
        self._most = most
        self._idle = idle
        self._metrics = metrics or WorkerMetrics()
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # the last used one is last
        self._refused: OrderedDict[str, _Refused] = OrderedDict()
        self._asked = -math.inf  # when somebody asked for a region last
        self._turns: dict[str, _Turn] = {}
        self._timer: threading.Timer | None = None

    @property
    def size(self) -> int:
        """Bytes that the kept pictures take."""
        with self._lock:
            return self._size()

    @property
    def whole_images_are_kept(self) -> bool:
        """Whether `keep` may keep a picture that was decoded as a whole image."""
        with self._lock:
            return bool(self._most) and self._regions_come()

    @contextmanager
    def turn(self, image_id: str) -> Iterator[None]:
        """Hold the turn to look for a picture and to decode it. Others who want the same picture wait for it."""
        with self._lock:
            turn = self._turns.setdefault(image_id, _Turn())
            turn.users += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[image_id]

    @contextmanager
    def lent(self, image_id: str, *, for_region: bool) -> Iterator[NDArray[np.uint8] | None]:
        """Give the pixels, (H, W, 3) uint8 and read-only, or None if they are not kept. They stay inside the block.

        Args:
            for_region: they are asked for to cut a region out of them.
        """
        with self._lock:
            if for_region:
                self._asked = self._clock()
            kept = self._kept.get(image_id)
            if kept is not None:
                kept.readers += 1
                kept.for_regions |= for_region
                self._touch(image_id, kept)
        if kept is None:
            yield None
            return
        try:
            yield kept.rgb
        finally:
            with self._lock:
                kept.readers -= 1
                kept.used = self._clock()

    def keep(self, image_id: str, rgb: NDArray[np.uint8], *, for_region: bool) -> bool:
        """Keep a picture that was decoded, if there is room.

        Most pictures are decoded as whole images, before anybody can ask for a region of them. Such a picture is kept
        only if regions of any picture were asked for in the last `idle` seconds, and never takes the room of a picture
        of which regions were asked for. So a service without regions keeps nothing.

        Args:
            rgb: (H, W, 3) uint8. Nobody may change it.
            for_region: it was decoded to cut a region out of it.

        Returns:
            Whether it is kept.
        """
        with self._lock:
            if image_id in self._kept:
                return True
            if not for_region and not self._regions_come():
                return False
            if not self._make_room(rgb.nbytes, of_regions=for_region):
                return False
            kept = self._kept[image_id] = _Kept(rgb, for_region, self._clock())
            self._touch(image_id, kept)
            self._metrics.pictures_kept(self._size())
            if self._timer is None:
                self._look_again()
            return True

    def drop(self, image_id: str) -> None:
        """Forget a picture, also while it is read: its image was deleted."""
        with self._lock:
            if self._kept.pop(image_id, None) is not None:
                self._metrics.pictures_kept(self._size())

    def refuse(self, image_id: str, error: RequestError) -> None:
        """Remember for `idle` seconds why a picture cannot be decoded, so that its other regions need not try it."""
        with self._lock:
            self._refused[image_id] = _Refused(type(error), error.detail, error.extra, self._clock())
            if len(self._refused) > _MOST_REFUSED:
                self._refused.popitem(last=False)

    def require_not_refused(self, image_id: str) -> None:
        """Return if nothing is known against the picture.

        Raises:
            RequestError: of the type and with the words that `refuse` was told.
        """
        with self._lock:
            refused = self._refused.get(image_id)
        if refused is not None and self._clock() - refused.since < self._idle:
            raise refused.kind(refused.detail, **refused.extra)

    def drop_unused(self) -> None:
        """Drop what nobody has used for `idle` seconds. A timer calls this as long as anything is kept."""
        with self._lock:
            self._timer = None
            try:
                now = self._clock()
                for image_id, kept in list(self._kept.items()):
                    if not kept.readers and now - kept.used >= self._idle:
                        del self._kept[image_id]
                self._metrics.pictures_kept(self._size())
            finally:
                if self._kept:
                    self._look_again()

    def close(self) -> None:
        """Drop all pictures: this process ends, or needs their memory. More may be kept afterwards."""
        with self._lock:
            self._kept.clear()
            self._metrics.pictures_kept(0)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _regions_come(self) -> bool:
        return self._clock() - self._asked < self._idle

    def _size(self) -> int:
        return sum(kept.rgb.nbytes for kept in self._kept.values())

    def _touch(self, image_id: str, kept: _Kept) -> None:
        kept.used = self._clock()
        self._kept.move_to_end(image_id)

    def _make_room(self, size: int, *, of_regions: bool) -> bool:
        """Drop pictures until there is room for `size` bytes, and return whether there is."""
        may_go = [
            image_id
            for image_id, kept in self._kept.items()
            if not kept.readers and (of_regions or not kept.for_regions)
        ]
        free = self._most - self._size()
        if size > free + sum(self._kept[image_id].rgb.nbytes for image_id in may_go):
            return False
        for image_id in may_go:
            if size <= free:
                break
            free += self._kept.pop(image_id).rgb.nbytes
        return True

    def _look_again(self) -> None:
        """Have `drop_unused` called when the next picture may be dropped."""
        first = min(kept.used for kept in self._kept.values()) + self._idle
        timer = threading.Timer(min(self._idle, max(_SHORTEST_PAUSE, first - self._clock())), self.drop_unused)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError as error:  # the system gives no more threads now; the next picture that is kept tries again
            _log.warning("decoded pictures stay in memory for now: %s", error)
        else:
            self._timer = timer
