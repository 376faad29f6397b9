"""Which workers of a queue are alive. RQ keeps a registration of each worker in Redis, and the worker renews it."""

from __future__ import annotations

import redis
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from shared.redis.failures import translated_errors
from shared.redis.replies import UnexpectedReply

KEPT_SECONDS = 90
"""Seconds after its last renewal at which Redis deletes a worker's registration."""

FRESH_SECONDS = 15
"""Seconds after its last renewal until which a worker counts as alive. It renews its registration every 5 s, whether it
waits or encodes. The lease of a job ends after as long, see `shared.rq_worker.pace.Pace`."""


def workers_alive(client: redis.Redis, queue: str) -> int:
    """Return the number of workers of the queue that renewed their registration in the last `FRESH_SECONDS`.

    The age of a registration is read from the time to live that Redis has for it. So the clocks of the hosts do not
    matter. A worker that stops in order deletes its registration, and is no longer counted at once.

    Args:
        queue: see `shared.contract.keys.queue_name`.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    with translated_errors(client):
        members = client.smembers(WORKERS_BY_QUEUE_KEY % queue)
        if not isinstance(members, set):
            raise UnexpectedReply("the workers of a queue are a set")
        with client.pipeline(transaction=False) as pipeline:
            for worker in members:  # the set also names workers that died a while ago
                pipeline.pttl(worker)
            return fresh(pipeline.execute())


def fresh(lives: list[object]) -> int:
    """Return how many of the registrations are fresh.

    Args:
        lives: what Redis answers to `PTTL` for each: milliseconds to live, or a negative number.

    Raises:
        UnexpectedReply: Redis answered something else.
    """
    oldest = 1000 * (KEPT_SECONDS - FRESH_SECONDS)
    count = 0
    for life in lives:
        if type(life) is not int:
            raise UnexpectedReply("a time to live is a number")
        count += life > oldest
    return count
