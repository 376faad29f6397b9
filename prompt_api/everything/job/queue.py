"""The queue of everything jobs."""

from __future__ import annotations

from typing import TypeAlias

import redis

from prompt_api.everything.job.key import EVERYTHING_JOB, EverythingKey
from shared.contract.errors import EverythingFailed
from shared.contract.settings import Settings
from shared.queue.interface import JobQueue
from shared.queue.rq_queue import JobKind, RqJobQueue

EverythingQueue: TypeAlias = JobQueue[EverythingKey]
"""Everything jobs waiting for a mask worker, one per image, model, weights and options."""


class RqEverythingQueue(RqJobQueue[EverythingKey]):
    """An `EverythingQueue` in Redis, see `RqJobQueue`."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        kind = JobKind(
            name=EVERYTHING_JOB,
            verb="find every mask of",
            plural="everything jobs",
            failed=EverythingFailed,
            timeout=settings.everything_timeout,
            most=settings.max_everything,
            ttl=settings.image_ttl,
        )
        super().__init__(client, settings, kind)
