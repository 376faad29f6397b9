"""What RQ keeps in Redis about a job: written in one round trip when jobs are taken, and in one when they are done.

RQ's own code needs at least eight round trips and some forty commands for each job. Here each of the two steps is one
script, and a script works on many jobs at once. It leaves in Redis what RQ leaves, so workers with and without these
scripts can share a queue; `tests/integration/test_books.py` compares the two. Only what nobody reads is left out: the
result of a job that was done, and whether other jobs depend on it.

Nobody sees a script half done. So a job that was taken has its lease, and is found when its worker dies
(`RecoveringStartedRegistry`), and a job that was not taken is still in the queue. A command of a script may fail, for
example at a key of another type, and what the script wrote before then stays. So it writes in an order that loses no
job: a job leaves the queue after it has its lease, and its lease ends after its end is noted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE, Execution
from rq.serializers import JSONSerializer
from rq.suspension import WORKERS_SUSPENDED
from rq.utils import now, utcformat

from shared.queue.registration import KEPT_SECONDS
from shared.queue.rq_queue import DONE_TTL
from shared.redis.replies import UnexpectedReply
from shared.rq_worker.job import ServiceJob

_log = logging.getLogger(__name__)

_TAKE = """-- take jobs
-- KEYS: the queue, the jobs between pop and start, the leases, the worker, its executions, the mark of a suspension.
-- ARGV: the popped job or "", seconds of a lease, seconds that a worker is remembered, the moment as RQ writes it, the
-- moment as a number, the worker's name, then a name for each execution.
-- Returns: nothing while workers are suspended. Otherwise an entry for each job that left the queue: its id, and if
-- there is such a job its execution and its fields as they were. A job that was begun before is the last one.
local popped, lease, kept, text, moment, worker = unpack(ARGV, 1, 6)
if popped == "" and redis.call("EXISTS", KEYS[6]) == 1 then
    return nil
end
local taken, leased = {}, false
for index = 7, #ARGV do
    local job, execution = popped, ARGV[index]
    if popped == "" then
        job = redis.call("LINDEX", KEYS[1], 0)
    elseif not redis.call("LPOS", KEYS[2], popped) then
        job = false
    end
    if not job then
        break
    end
    local hash, begun = "rq:job:" .. job, false
    if redis.call("TYPE", hash)["ok"] == "hash" then
        redis.call("PERSIST", hash)
        local fields, started = redis.call("HGETALL", hash), redis.call("HGET", hash, "started_at")
        local member, ends = job .. ":" .. execution, math.floor(moment) + lease
        redis.call("HSET", "rq:execution:" .. member, "id", execution, "job_id", job, "created_at", moment,
            "last_heartbeat", moment, "worker_name", worker)
        redis.call("EXPIRE", "rq:execution:" .. member, lease)
        redis.call("ZADD", "rq:executions:" .. job, ends + 60, execution)
        redis.call("EXPIRE", "rq:executions:" .. job, lease + 60)
        redis.call("SADD", KEYS[5], member)
        redis.call("EXPIRE", KEYS[5], lease + 60)
        redis.call("ZADD", KEYS[3], ends, member)
        redis.call("HSET", hash, "status", "started", "started_at", text, "last_heartbeat", text, "worker_name", worker)
        table.insert(taken, {job, execution, fields})
        leased, begun = true, started and started ~= ""
    else
        table.insert(taken, {job})
    end
    if popped == "" then
        redis.call("LPOP", KEYS[1])
    else
        redis.call("LREM", KEYS[2], 1, popped)
    end
    if begun or popped ~= "" then
        break
    end
end
if leased then
    redis.call("HSET", KEYS[4], "state", "busy", "last_heartbeat", text)
    redis.call("EXPIRE", KEYS[4], kept)
end
return taken
"""

_END = """-- end jobs
-- KEYS: the leases, the jobs that are done, the worker, its executions.
-- ARGV: the moment as RQ writes it, the moment as a whole number, seconds that a worker is remembered, then for each
-- job its id, its execution, seconds that it is remembered, seconds that it took.
-- Returns: for each job 1, or 0 if it was forgotten while it ran: its end leaves no trace.
local text, moment, kept = unpack(ARGV, 1, 3)
local ends, done, seconds = {}, 0, 0
for index = 4, #ARGV, 4 do
    local job, execution, remembered, took = unpack(ARGV, index, index + 3)
    local hash, member = "rq:job:" .. job, job .. ":" .. execution
    local known = redis.call("EXISTS", hash)
    redis.call("DEL", "rq:execution:" .. member)
    if known == 1 then
        redis.call("HSET", hash, "status", "finished", "ended_at", text)
        redis.call("EXPIRE", hash, remembered)
        redis.call("ZADD", KEYS[2], moment + remembered, job)
        done, seconds = done + 1, seconds + took
    end
    redis.call("ZREM", "rq:executions:" .. job, execution)
    redis.call("SREM", KEYS[4], member)
    redis.call("ZREM", KEYS[1], member)
    table.insert(ends, known)
end
if done > 0 then
    redis.call("HINCRBY", KEYS[3], "successful_job_count", done)
    redis.call("HINCRBYFLOAT", KEYS[3], "total_working_time", seconds)
    redis.call("EXPIRE", KEYS[3], kept)
end
return ends
"""


class Books:
    """The books of one worker. Its methods need one round trip each."""

    def __init__(
        self, queue: Queue, *, connection: redis.Redis, job_class: type[ServiceJob], worker: str, key: str, lease: int
    ) -> None:
        """
        Args:
            worker: its name.
            key: of its registration.
            lease: seconds.
        """
        self._connection = connection
        self._job_class = job_class
        self._worker = worker
        self._lease = lease
        self._leases = queue.started_job_registry.key
        self._executions = WORKER_EXECUTIONS_KEY_TEMPLATE.format(worker)
        popped = queue.intermediate_queue.key
        self._taking = (queue.key, popped, self._leases, key, self._executions, WORKERS_SUSPENDED)
        self._ending = (self._leases, queue.finished_job_registry.key, key, self._executions)

    def take(self, most: int, popped: str = "") -> list[ServiceJob] | None:
        """Take jobs from the head of the queue. Each has its lease and counts as started.

        An entry of the queue that is no job is dropped, and a job that cannot be read is set aside.

        Args:
            most: jobs. There are fewer if the queue has fewer, or if one of them was begun before: that is the last.
            popped: take only this job, which waits between pop and start. It is not taken if it was put back meanwhile.

        Returns:
            None while workers are suspended (`rq suspend`). A popped job is taken nevertheless, as RQ does.
        """
        while True:
            moment = now()
            names = [uuid4().hex for _ in range(1 if popped else most)]
            stamps = utcformat(moment), moment.timestamp()
            ages = self._lease, KEPT_SECONDS
            reply: Any = self._connection.eval(
                _TAKE, len(self._taking), *self._taking, popped, *ages, *stamps, self._worker, *names
            )
            if reply is None:
                return None
            if not isinstance(reply, list):
                raise self._unexpected()
            jobs = [job for entry in reply if (job := self._taken(entry, moment)) is not None]
            if jobs or popped or not reply:
                return jobs

    def _taken(self, entry: Any, moment: datetime) -> ServiceJob | None:
        match entry:
            case [bytes(job_id), *leased] if len(leased) in (0, 2):
                pass
            case _:
                raise self._unexpected()
        try:
            job = self._job_class(job_id.decode(), connection=self._connection, serializer=JSONSerializer)
            if not leased:
                job.refresh()  # which says why it cannot be read
                return None
            execution, fields = leased
            job.read(dict(zip(fields[::2], fields[1::2], strict=True)))
        except ValueError as error:
            _log.error("passed over an entry of the queue that is no job: %s", error)
        except NoSuchJobError:
            pass
        else:
            job.begin(Execution(execution.decode(), job.id, self._connection, self._worker), moment)
            return job
        if leased:
            self._release(job_id, leased[0])
        return None

    def _unexpected(self) -> UnexpectedReply:
        """The error of a reply that is that of another command. The connection it came on is not used again."""
        self._connection.connection_pool.disconnect(inuse_connections=False)
        return UnexpectedReply("a script of the worker got a reply that it does not give")

    def _release(self, job_id: bytes, execution: bytes) -> None:
        """End the lease of what cannot be read."""
        member = job_id + b":" + execution
        with self._connection.pipeline() as pipeline:
            pipeline.delete(b"rq:execution:" + member, b"rq:executions:" + job_id)
            pipeline.zrem(self._leases, member)
            pipeline.srem(self._executions, member)
            pipeline.execute()

    def end(self, jobs: Sequence[ServiceJob]) -> list[bool]:
        """End the leases of jobs that are done.

        Returns:
            For each job, whether it is still known. One that was forgotten while it ran leaves no trace.
        """
        moment = now()
        parts: list[str | float] = []
        for job in jobs:
            assert job.lease is not None
            assert job.started_at is not None
            remembered = job.result_ttl if job.result_ttl is not None and job.result_ttl > 0 else DONE_TTL
            parts += (job.id, job.lease.id, remembered, (moment - job.started_at).total_seconds())
        stamps = utcformat(moment), int(moment.timestamp())
        reply: Any = self._connection.eval(_END, len(self._ending), *self._ending, *stamps, KEPT_SECONDS, *parts)
        if not isinstance(reply, list) or len(reply) != len(jobs):
            raise self._unexpected()
        return [known == 1 for known in reply]
