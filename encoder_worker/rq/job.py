"""A job of the encode queue as the worker sees it."""

from __future__ import annotations

from encoder_worker.encoding.device_lost import DeviceLost
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

    def record_failure(self, error: BaseException | None) -> None:
        super().record_failure(error)
        if isinstance(error, DeviceLost) and not self.begun_before:
            # `retry` takes one. Any job may have broken the device, so nobody pays. From now on the job was begun
            # before, so it runs alone. If the device breaks again then, this job may well be why.
            self.retries_left = (self.retries_left or 0) + 1

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
