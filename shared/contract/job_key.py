"""What a job makes, as queues, events and workers see it."""

from __future__ import annotations

from typing import Protocol


class JobKey(Protocol):
    """The identity of what one job makes: an embedding, or all masks of an image. Immutable; compares by value."""

    @property
    def image_id(self) -> str:
        """Lower-case hex SHA-256 of the uploaded bytes."""
        ...

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def part(self) -> str:
        """What of the image and the model this is, for events: empty for the embedding of the whole image."""
        ...

    @property
    def queue(self) -> str:
        """Name of the RQ queue for the job."""
        ...

    @property
    def job_id(self) -> str:
        """RQ job id, which is also the single-flight lock of the job."""
        ...

    @property
    def job_arguments(self) -> tuple[str, ...]:
        """Arguments of the job, from which a worker makes the key again."""
        ...
