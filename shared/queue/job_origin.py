"""The request that a job comes from. The job's meta carries it from the API's log and trace to the worker's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from shared.contract.job_key import JobKey
from shared.observe import log_context
from shared.observe.request_id import well_formed
from shared.observe.tracing import Attributes, Span


@dataclass(frozen=True, slots=True)
class JobOrigin:
    """Attributes:
    request_id: see `shared.observe.request_id`; empty if no request asked for the job, or the API did not send an id.
    traceparent: the span that sent the job, see `shared.observe.tracing`; empty if it is not traced.
    """

    request_id: str = ""
    traceparent: str = ""

    @classmethod
    def here(cls, span: Span) -> JobOrigin:
        """Return the origin of a job that the current request sends within `span`."""
        return cls(str(log_context.fields().get("request_id", "")), span.traceparent)

    @classmethod
    def of(cls, meta: object) -> JobOrigin:
        """Read the origin from a job's meta. A member that is missing or malformed stays empty."""
        if not isinstance(meta, dict):
            return cls()
        request_id, traceparent = meta.get("request_id"), meta.get("traceparent")
        return cls(
            request_id if isinstance(request_id, str) and well_formed(request_id) else "",
            traceparent if isinstance(traceparent, str) else "",
        )

    @classmethod
    def read(cls, meta: bytes) -> JobOrigin:
        """Read the origin as `of` does, from the JSON in Redis."""
        try:
            return cls.of(json.loads(meta))
        except (ValueError, RecursionError):
            return cls()

    @property
    def meta(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if value}


def span_attributes(operation: str, key: JobKey) -> Attributes:
    """Return the attributes that the spans on both sides of the queue share.

    Args:
        operation: `send` or `process`.
    """
    return {
        "messaging.system": "rq",
        "messaging.operation.type": operation,
        "messaging.destination.name": key.queue,
        "messaging.message.id": key.job_id,
        "sam.image_id": key.image_id,
        "sam.model": key.model,
    }
