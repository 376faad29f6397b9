"""How much work a queue holds, and how many workers it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import redis
from rq import Queue
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import now, str_to_date
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from shared.contract.keys import queue_name
from shared.contract.models import Model
from shared.queue.registration import fresh
from shared.redis.failures import translated_errors


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """The load of one queue of a model at one moment.

    Attributes:
        waiting: jobs that no worker has begun.
        running: jobs that a worker has begun.
        workers: workers that are alive, see `shared.queue.registration`.
        oldest: seconds since the next job was queued; 0 if no job waits.
    """

    waiting: int
    running: int
    workers: int
    oldest: float


def queue_load(client: redis.Redis, model: Model, *, name_of: Callable[[str, str], str] = queue_name) -> QueueLoad:
    """Return the load of a queue of `model` with exactly its weights, in two round trips.

    Args:
        name_of: makes the queue's name of the model's name and the weights' digest. By default: that of encodings.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    name = name_of(model.name, model.weights_digest)
    queue = Queue(name, connection=client, serializer=JSONSerializer)
    with translated_errors(client):
        with client.pipeline(transaction=False) as pipeline:
            pipeline.llen(queue.key)
            pipeline.lindex(queue.key, 0)
            pipeline.zcard(StartedJobRegistry(queue=queue).key)
            pipeline.smembers(WORKERS_BY_QUEUE_KEY % name)
            waiting, first, running, workers = pipeline.execute()
        with client.pipeline(transaction=False) as pipeline:
            pipeline.hget(Job.key_for(first.decode() if first else ""), "enqueued_at")
            for worker in workers:
                pipeline.pttl(worker)
            queued_at, *lives = pipeline.execute()
            alive = fresh(lives)
    return QueueLoad(waiting=waiting, running=running, workers=alive, oldest=_age(queued_at))


def _age(queued_at: bytes | None) -> float:
    """Return the seconds since then; 0 if it cannot be read, or is later by this host's clock."""
    try:
        return max(0.0, (now() - str_to_date(queued_at)).total_seconds()) if queued_at else 0.0
    except (ValueError, TypeError, OverflowError):
        return 0.0
