"""Events inside one process: the service's pub/sub without Redis."""

from __future__ import annotations

from contextlib import AbstractContextManager

from shared.contract.job_key import JobKey
from shared.events.crowd import Crowd
from shared.events.interface import Change, Topic, Watch, topic_of


class MemoryEvents:
    """`Events` inside one process.

    Attributes:
        published: every event so far, oldest first.
    """

    def __init__(self) -> None:
        self.published: list[tuple[Topic, Change]] = []
        self._crowd = Crowd()

    def publish(self, key: JobKey, status: Change) -> None:
        topic = topic_of(key)
        self.published.append((topic, status))
        if status == "deleted":
            self._crowd.wake_parts(topic)
        else:
            self._crowd.wake(topic)

    def watch(self, key: JobKey) -> AbstractContextManager[Watch]:
        return self._crowd.joined(topic_of(key))

    def ping(self) -> None:
        return None
