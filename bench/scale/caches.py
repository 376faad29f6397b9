"""Caches for a number of images. One evicts the least recently used, the other the least often used, as Redis does."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from random import Random


class Lru:
    """Keeps the most recently used images, as a replica does. Redis does nearly the same under `allkeys-lru`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._images: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._images)

    def touch(self, image: int, minute: int = 0) -> bool:  # noqa: ARG002 - only `RedisLfu` uses the time
        """Use an image: whether it was kept. From now on it is kept."""
        if image in self._images:
            self._images.move_to_end(image)
            return True
        self._images[image] = None
        if len(self._images) > self._capacity:
            self._images.popitem(last=False)
        return False


_NEW, _MOST = 5, 255
_LOG_FACTOR = 10
_SAMPLES = 5
_POOL = 16


class RedisLfu:
    """Redis's `allkeys-lfu` with its default settings.

    Each image has a counter, which grows with the logarithm of its uses and loses one each minute. To make room, five
    images are drawn at random. The image with the lowest counter is evicted, among these five and the sixteen lowest of
    earlier draws.
    Source: Redis's and Valkey's evict.c, `LFULogIncr`, `LFUDecrAndReturn` and `evictionPoolPopulate`.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self._capacity = capacity
        self._random = Random(seed).random
        self._kept: dict[int, tuple[int, int]] = {}  # by image: its counter, and the minute when that was last updated
        self._order: list[int] = []  # all that are kept, to draw from
        self._place: dict[int, int] = {}
        self._pool: list[tuple[int, int]] = []  # (counter, image), the lowest counter first

    def __len__(self) -> int:
        return len(self._kept)

    def touch(self, image: int, minute: int = 0) -> bool:
        """Use an image: whether it was kept. From now on it is kept.

        Args:
            minute: the time, which never goes back.
        """
        if image in self._kept:
            counter = self._decayed(image, minute)
            if counter < _MOST and self._random() < 1 / (max(0, counter - _NEW) * _LOG_FACTOR + 1):
                counter += 1
            # Redis stores the time of each use, so an image that was used within the minute does not lose one.
            self._kept[image] = counter, minute
            return True
        while len(self._kept) >= self._capacity:
            self._evict(minute)
        self._kept[image] = _NEW, minute
        self._place[image] = len(self._order)
        self._order.append(image)
        return False

    def _decayed(self, image: int, minute: int) -> int:
        counter, since = self._kept[image]
        return max(0, counter - (minute - since))

    def _evict(self, minute: int) -> None:
        for _ in range(_SAMPLES):
            image = self._order[int(self._random() * len(self._order))]
            insort(self._pool, (self._decayed(image, minute), image), key=_counter)  # first drawn, first evicted
        del self._pool[_POOL:]
        while self._pool:
            _, image = self._pool.pop(0)
            if image in self._kept:  # it may have been evicted since it was drawn
                del self._kept[image]
                place, last = self._place.pop(image), self._order.pop()
                if last != image:
                    self._order[place] = last
                    self._place[last] = place
                return


def _counter(entry: tuple[int, int]) -> int:
    return entry[0]
