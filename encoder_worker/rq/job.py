"""A job of the encode queue as the worker sees it."""

from __future__ import annotations

from shared.contract.errors import EncodeFailed
from shared.contract.keys import ENCODE_JOB, EmbeddingKey
from shared.rq_worker.job import ServiceJob


class EncodeJob(ServiceJob):
    """Asks for one embedding."""

    name = ENCODE_JOB
    failed = EncodeFailed
    work = "the encoding"
    died = "the worker died, or was ended after the time-out, at each attempt to encode this image"

    @classmethod
    def key_of(cls, arguments: object) -> EmbeddingKey:
        """See `EmbeddingKey.of_job`."""
        return EmbeddingKey.of_job(arguments)

    @property
    def subject(self) -> str:
        key = self.known_key
        region = key.region if isinstance(key, EmbeddingKey) else None
        return super().subject if region is None else f"region {region.text} of {super().subject}"

    def requested_key(self) -> EmbeddingKey:
        """The embedding that the job asks for.

        Raises:
            EncodeFailed: it asks for something else, or cannot be read. No API of this service made it.
        """
        key = self.requested()
        assert isinstance(key, EmbeddingKey)
        return key
