"""Which request a job comes from: what travels in the job's meta, from the API's log and trace to the worker's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from shared.contract.keys import EmbeddingKey
from shared.observe import log_context
from shared.observe.request_id import well_formed
from shared.observe.tracing import Attributes, Span


@dataclass(frozen=True, slots=True)
class JobOrigin:
    """Attributes:
    request_id: see `shared.observe.request_id`; empty if no request asked for the job, or an API that does not tell.
    traceparent: the span that sent it, as `shared.observe.tracing` has it; empty if it is not traced.
    """

    request_id: str = ""
    traceparent: str = ""

    @classmethod
    def here(cls, span: Span) -> JobOrigin:
        """The request at hand, which sends a job within `span`."""
        return cls(str(log_context.fields().get("request_id", "")), span.traceparent)

    @classmethod
    def of(cls, meta: object) -> JobOrigin:
        """What the meta of a job says; nothing where it says nothing, or something of foreign making."""
        if not isinstance(meta, dict):
            return cls()
        request_id, traceparent = meta.get("request_id"), meta.get("traceparent")
        return cls(
            request_id if isinstance(request_id, str) and well_formed(request_id) else "",
            traceparent if isinstance(traceparent, str) else "",
        )

    @classmethod
    def read(cls, meta: bytes) -> JobOrigin:
        """`of`, from what is stored in Redis."""
        try:
            return cls.of(json.loads(meta))
        except ValueError:
            return cls()

    @property
    def meta(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if value}


def span_attributes(operation: str, key: EmbeddingKey) -> Attributes:
    """What the spans on both sides of the queue have in common.

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
