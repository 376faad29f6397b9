"""What surrounds a job while it runs, in whichever thread: the fields of its log lines, and its span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from shared.observe import log_context, tracing
from shared.observe.tracing import Span, SpanKind, Tracer
from shared.queue.job_origin import span_attributes
from shared.rq_worker.job import ServiceJob


@dataclass(frozen=True, slots=True, eq=False)
class JobScope:
    """One attempt at a job. Its logs and traces belong to the request that asked for the job, if the job names it.

    Attributes:
        fields: of its log lines, see `shared.observe.log_context`.
        span: from the start of the attempt to its end.
    """

    fields: Mapping[str, str]
    span: Span

    @classmethod
    def begin(cls, job: ServiceJob, tracer: Tracer) -> JobScope:
        key = job.known_key
        attributes = {} if key is None else span_attributes("process", key)
        span = tracer.begin(
            f"process {job.origin}", SpanKind.CONSUMER, parent=job.asked_for_by.traceparent, attributes=attributes
        )
        return cls({**job.log_fields, **tracing.log_fields(span)}, span)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What is logged and traced inside the block belongs to this job."""
        with log_context.scope(**self.fields), tracing.entered(self.span):
            yield

    @contextmanager
    def until_its_end(self) -> Iterator[None]:
        """As `entered`; the attempt ends with the block."""
        with self.entered(), self.span:
            yield
