"""The threads of one process that wait for image events."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from shared.events.interface import Topic, Watch


class Crowd:
    """The waiting threads of one process, grouped by topic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: defaultdict[Topic, set[threading.Event]] = defaultdict(set)

    @property
    def topics(self) -> frozenset[Topic]:
        """The topics that at least one thread waits for now."""
        with self._lock:
            return frozenset(self._waiting)

    @contextmanager
    def joined(self, topic: Topic) -> Iterator[Watch]:
        event = threading.Event()
        with self._lock:
            self._waiting[topic].add(event)
        try:
            yield Watch(event)
        finally:
            with self._lock:
                self._waiting[topic].discard(event)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    def wake(self, topic: Topic) -> None:
        with self._lock:
            for event in self._waiting.get(topic, ()):
                event.set()

    def wake_parts(self, topic: Topic) -> None:
        """Wake those who wait for the image of `topic` or for a region of it, for the same model."""
        with self._lock:
            for known, events in self._waiting.items():
                if known[:2] == topic[:2]:
                    for event in events:
                        event.set()

    def wake_all(self) -> None:
        with self._lock:
            for events in self._waiting.values():
                for event in events:
                    event.set()
