"""The queues on RQ. A job's id comes from its key, so the job itself is the single-flight lock.

The lock is held as long as the job's hash exists, as with RQ's `unique=True`. Each resting state has a time to live:
waiting (`JobKind.ttl`, that of the image's bytes), done (`DONE_TTL`) and failed (`failure_ttl`). While a job runs, RQ
keeps its hash; the worker's lease and retries (see `shared.rq_worker.worker`) end that state.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import redis
from rq import Queue, Retry
from rq.executions import Execution, ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.job import JobStatus as RqStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from shared.contract.errors import EncodeFailed, Overloaded, SamCacheError, StoreUnavailable
from shared.contract.job_key import JobKey
from shared.contract.keys import ENCODE_JOB, EmbeddingKey
from shared.contract.settings import Settings
from shared.observe import tracing
from shared.observe.tracing import Span, SpanKind
from shared.queue.interface import ABSENT, JobState, JobStatus
from shared.queue.job_origin import JobOrigin, span_attributes
from shared.queue.registration import workers_alive
from shared.queue.safety import require_no_eviction
from shared.redis.failures import translated_errors
from shared.redis.replies import UnexpectedReply
from shared.redis.sentinel import follows_a_master

DONE_TTL = 5
"""Seconds that a finished job is remembered. With zero, RQ would delete it in a way that breaks after a crash."""

ERROR = "error"
"""Member of a failed job's meta: `{"code", "detail"}`, written by the worker."""

CONFIRMED_WITHIN = 2 / 3
"""Share of an operation's time-out in which a replica must confirm a job. The rest is left for the answer."""

_LONGEST_RETRY_AFTER = 60.0

_LONGEST_LIFE = 1_000_000_000
"""Seconds, and jobs, that no worker exceeds."""

_LONGEST_DETAIL = 1000
"""Characters of a recorded failure that clients get."""

_log = logging.getLogger(__name__)

_STATUS = {
    RqStatus.STARTED: JobStatus.ENCODING,
    RqStatus.FINISHED: JobStatus.DONE,
    RqStatus.FAILED: JobStatus.FAILED,
    RqStatus.STOPPED: JobStatus.FAILED,
    RqStatus.CANCELED: JobStatus.FAILED,
}
"""Every other status of RQ means that the job waits."""

_ADDED = -1

_SUBMIT = """
-- KEYS: the job's hash, the queue, the set of all queues.
-- ARGV: jobs that may wait, the job's id, seconds to keep it, then fields and values of the hash.
-- Returns: the meta of the job if it is known already. Otherwise the number of waiting jobs if the queue is full,
-- or -1 if the job was added. What stands in the job's place and has no status is no job, and would never run.
local found = redis.call("TYPE", KEYS[1])["ok"]
if found == "hash" and redis.call("HEXISTS", KEYS[1], "status") == 1 then
    return redis.call("HGET", KEYS[1], "meta") or ""
end
if found ~= "none" then
    redis.call("DEL", KEYS[1])
end
local waiting = redis.call("LLEN", KEYS[2])
if waiting >= tonumber(ARGV[1]) then
    return waiting
end
redis.call("HSET", KEYS[1], unpack(ARGV, 4))
redis.call("EXPIRE", KEYS[1], ARGV[3])
redis.call("SADD", KEYS[3], KEYS[2])
redis.call("RPUSH", KEYS[2], ARGV[2])
return -1
"""
"""RQ's unique enqueue with a limit on the queue, in one atomic step. If the limit were checked in a separate step, any
number of simultaneous submits could pass it."""


K = TypeVar("K", bound=JobKey)


@dataclass(frozen=True, slots=True)
class JobKind:
    """What a queue must know of its jobs.

    Attributes:
        name: of every job. It is only compared, see `shared.rq_worker.job.ServiceJob`.
        verb: what a job does to its image, for its description.
        plural: what clients call several of them.
        failed: the error of a job that failed without another reason.
        timeout: seconds that one attempt may take.
        most: jobs that may wait.
        ttl: seconds that a job may wait.
    """

    name: str
    verb: str
    plural: str
    failed: type[SamCacheError]
    timeout: int
    most: int
    ttl: int


class RqJobQueue(Generic[K]):
    """A `JobQueue` in Redis. The client must have short time-outs and `decode_responses` off.

    Behind sentinels a job counts as accepted only when a replica has it too. The replica with most data becomes the
    next master, so an accepted job survives the loss of the current master.
    """

    def __init__(self, client: redis.Redis, settings: Settings, kind: JobKind) -> None:
        self._client = client
        self._settings = settings
        self._kind = kind
        self._cautioned = False
        self._replicated = follows_a_master(client)

    def submit(self, key: K) -> bool:
        queue = self._queue(key)
        with tracing.current().child(f"send {queue.name}", SpanKind.PRODUCER, span_attributes("send", key)) as span:
            job = self._job(queue, key, JobOrigin.here(span))
            with translated_errors(self._client):
                outcome = self._send(queue, job)
                if isinstance(outcome, bytes):
                    _joined(job, key, JobOrigin.read(outcome), span)
                    return False
                if outcome != _ADDED:
                    raise Overloaded(
                        f"{outcome} {self._kind.plural} are waiting for {key.model}",
                        retry_after=self._retry_after(queue, outcome),
                    )
        _log.info("image %s: queued for %s", key.image_id[:12], key.model, extra=_fields(job, key))
        return True

    def _send(self, queue: Queue, job: Job) -> bytes | int:
        """Run `_SUBMIT` and return its result once enough servers have the job."""
        fields = [part for field in job.to_dict().items() for part in field]
        keys = [job.key, queue.key, Queue.redis_queues_keys]
        with self._client.pipeline(transaction=False) as pipeline:  # WAIT covers one connection's commands
            pipeline.eval(_SUBMIT, len(keys), *keys, self._kind.most, job.id, self._kind.ttl, *fields)
            if self._replicated:
                pipeline.wait(1, int(1000 * CONFIRMED_WITHIN * self._settings.redis_timeout))
            outcome, *replicas = pipeline.execute()
        if not isinstance(outcome, bytes | int) or any(type(count) is not int for count in replicas):
            raise UnexpectedReply("a submitted job is answered with text or a number")
        if replicas == [0] and (outcome == _ADDED or isinstance(outcome, bytes)):
            raise StoreUnavailable("no replica of the queue has confirmed the job; ask again", retry_after=1)
        result: bytes | int = outcome
        return result

    def _job(self, queue: Queue, key: K, origin: JobOrigin) -> Job:
        settings, kind = self._settings, self._kind
        job = queue.create_job(
            kind.name,
            args=key.job_arguments,
            job_id=key.job_id,
            description=f"{kind.verb} {key.image_id[:12]} with {key.model}",
            timeout=kind.timeout,
            ttl=kind.ttl,
            result_ttl=DONE_TTL,
            failure_ttl=settings.failure_ttl,
            meta=origin.meta,
            # In front: a job that lost its worker has waited already, and one that kills workers fails sooner.
            retry=Retry(max=settings.job_retries, enqueue_at_front=True) if settings.job_retries else None,
        )
        job.enqueued_at = now()
        return job

    def state(self, key: K) -> JobState:
        with translated_errors(self._client), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hmget(Job.key_for(key.job_id), "status", "meta")
            pipeline.lpos(self._queue(key).key, key.job_id)
            (status, meta), position = pipeline.execute()
            if not isinstance(position, int | None):
                raise UnexpectedReply("a position is a number")
        if status is None:
            return ABSENT
        try:
            return _state(status, meta, position, self._kind)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            _log.error("image %s: dropped its damaged job %s: %s", key.image_id[:12], key.job_id, error)
            self.forget(key)
            return ABSENT

    def forget(self, key: K) -> None:
        """See `EncodeQueue.forget`. RQ's own `Job.delete` fails on executions that have expired."""
        job_id, queue = key.job_id, self._queue(key)
        with translated_errors(self._client):
            executions = [
                Execution(execution_id, job_id, connection=self._client)
                for execution_id in ExecutionRegistry(job_id, connection=self._client).get_execution_ids()
            ]
            with self._client.pipeline() as pipeline:
                pipeline.lrem(queue.key, 0, job_id)
                pipeline.lrem(IntermediateQueue.get_intermediate_queue_key(queue.key), 0, job_id)
                for execution in executions:
                    pipeline.zrem(StartedJobRegistry(queue=queue).key, execution.composite_key)
                    pipeline.delete(execution.key)
                for registry in (FinishedJobRegistry, FailedJobRegistry):
                    pipeline.zrem(registry(queue=queue).key, job_id)
                pipeline.delete(
                    Job.key_for(job_id),
                    Result.get_key(job_id),  # type: ignore[no-untyped-call]  # RQ has no annotation here
                    ExecutionRegistry(job_id, connection=self._client).key,
                )
                pipeline.execute()

    def forget_all(self, keys: Sequence[K]) -> None:
        with translated_errors(self._client), self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.exists(Job.key_for(key.job_id))
            there = pipeline.execute()
        for key, exists in zip(keys, there, strict=True):
            if exists:
                self.forget(key)

    def workers_alive(self, queue: str) -> int:
        return workers_alive(self._client, queue)

    def ping(self) -> None:
        caution = require_no_eviction(self._client)
        if caution and not self._cautioned:
            self._cautioned = True
            _log.warning(caution)

    def _queue(self, key: K) -> Queue:
        return Queue(key.queue, connection=self._client, serializer=JSONSerializer)

    def _retry_after(self, queue: Queue, waiting: int) -> float:
        """Estimate the seconds until a tenth of the queue is done, from the speed of its workers so far."""
        with self._client.pipeline(transaction=False) as pipeline:
            for worker in self._client.smembers(WORKERS_BY_QUEUE_KEY % queue.name):
                pipeline.hmget(worker, "total_working_time", "successful_job_count")
            rows = [row for row in map(_work_done, pipeline.execute()) if row is not None]
        busy = sum(seconds for seconds, _ in rows)
        done = sum(count for _, count in rows)
        per_encode = busy / done if done else 1.0
        return min(_LONGEST_RETRY_AFTER, max(1.0, 0.1 * waiting * per_encode / max(1, len(rows))))


class RqEncodeQueue(RqJobQueue[EmbeddingKey]):
    """An `EncodeQueue` in Redis, see `RqJobQueue`."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        kind = JobKind(
            name=ENCODE_JOB,
            verb="encode",
            plural="encodings",
            failed=EncodeFailed,
            timeout=settings.job_timeout,
            most=settings.max_queued,
            ttl=settings.image_ttl,
        )
        super().__init__(client, settings, kind)


def _work_done(fields: Sequence[bytes | None]) -> tuple[float, int] | None:
    """Return the seconds that a worker has worked and its jobs; None if it has not told them, or not as RQ does."""
    try:
        seconds, count = float(fields[0] or b""), int(fields[1] or b"")
    except (ValueError, TypeError):
        return None
    return (seconds, count) if 0 <= seconds <= _LONGEST_LIFE and 0 <= count <= _LONGEST_LIFE else None


def _joined(job: Job, key: JobKey, origin: JobOrigin, span: Span) -> None:
    span.describe({"sam.joined": True})
    span.link(origin.traceparent)
    _log.info(
        "image %s: joined the job for %s that request %s began",
        key.image_id[:12],
        key.model,
        origin.request_id or "(unknown)",
        extra={**_fields(job, key), "joined_request_id": origin.request_id},
    )


def _fields(job: Job, key: JobKey) -> dict[str, str]:
    return {"job_id": job.id, "image_id": key.image_id, "model": key.model}


def _state(status: bytes, meta: bytes | None, position: int | None, kind: JobKind) -> JobState:
    """Return the state of a job from the fields of its hash.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, RecursionError: RQ and the worker did not write this.
    """
    known = _STATUS.get(RqStatus(status.decode()), JobStatus.QUEUED)
    if known is JobStatus.QUEUED:
        return JobState(known, position=position)
    if known is JobStatus.FAILED:
        return _failed(meta, kind)
    return JobState(known)


def _failed(meta: bytes | None, kind: JobKind) -> JobState:
    error: Any = json.loads(meta).get(ERROR) if meta else None
    if error is None:
        return JobState(JobStatus.FAILED, error_code=kind.failed.code, error_detail="the job was ended by hand")
    code, detail = error["code"], error["detail"]
    if not isinstance(code, str) or not isinstance(detail, str):
        raise TypeError("the failure is not text")
    return JobState(JobStatus.FAILED, error_code=code, error_detail=detail[:_LONGEST_DETAIL])
