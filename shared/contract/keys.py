"""Names in Redis. Each operation touches one key, so the cache may be a Cluster.

Cache role (may evict):
    sam:image:{<id>}                                the uploaded bytes
    sam:record:{<id>}                               JSON: size of the oriented image; outlives the bytes
    sam:tensors:<model>:<weights>:<prep>:{<id>}     the image embedding, see `shared.tensors.embedding`
    sam:owners:{<id>}                               set of the namespaces that uploaded the image; only with tokens
    sam:logits:<token>                              low-res logits of one answer, see `shared.tensors.logits`
    sam:rate:{…}                                    a client's recent requests, as the `limits` library counts them; on
                                                    the queue where the cache is a Cluster
Queue role (must not evict): RQ's own keys, and the channel EVENTS.

Braces are part of a name: a Cluster places a key by what stands in them. So all that is kept of an image is on one
node, and the loss of a node is the loss of some images, not of a part of nearly each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.contract.errors import EncodeFailed, ImageNotFound
from shared.contract.models import Model

ENCODE_JOB = "sam.encode"
"""The name that every job of an encode queue has. It is compared, never imported: it is no path to a function."""

EVENTS = "sam:events"
"""Pub/sub channel on the queue role: `{"image_id", "model", "status"}` at each change of status."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse_image_id(text: str) -> str:
    """`text` if it is an image id (64 lower-case hex digits of SHA-256).

    Raises:
        ImageNotFound: it is not, so no image can have it.
    """
    if not _SHA256.fullmatch(text):
        raise ImageNotFound("an image id is the lower-case hex SHA-256 of the uploaded bytes")
    return text


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """What identifies an image embedding: the image, the weights and the preprocessing.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: registry name.
        weights_digest: lower-case hex SHA-256 of the weights, 64 characters.
        preprocessing: version of resize + normalise + pad.
    """

    image_id: str
    model: str
    weights_digest: str
    preprocessing: str

    @classmethod
    def of(cls, image_id: str, model: Model) -> EmbeddingKey:
        return cls(image_id, model.name, model.weights_digest, model.architecture.preprocessing)

    @property
    def redis_key(self) -> str:
        return f"sam:tensors:{self.model}:{self.weights_digest[:16]}:{self.preprocessing}:{_place(self.image_id)}"

    @property
    def queue(self) -> str:
        """Name of the RQ queue in which the job waits that makes this embedding."""
        return queue_name(self.model, self.weights_digest)

    @property
    def job_id(self) -> str:
        """RQ job id, the single-flight lock of this encode. Letters, digits, `_` and `-` only."""
        return f"{self.queue}-{self.preprocessing}-{self.image_id}"

    @property
    def job_arguments(self) -> tuple[str, str, str, str]:
        """The arguments of that job, see `of_job`."""
        return self.image_id, self.model, self.weights_digest, self.preprocessing

    @classmethod
    def of_job(cls, arguments: object) -> EmbeddingKey:
        """The key that a job's arguments name.

        Raises:
            EncodeFailed: they are not the `job_arguments` of any key.
        """
        if (
            not isinstance(arguments, list | tuple)
            or len(arguments) != 4
            or not all(isinstance(argument, str) for argument in arguments)
        ):
            raise EncodeFailed("the job's arguments name no embedding")
        image_id, model, weights_digest, preprocessing = arguments
        if not (_SHA256.fullmatch(image_id) and _SHA256.fullmatch(weights_digest)):
            raise EncodeFailed("the job's arguments name no embedding")
        return cls(image_id, model, weights_digest, preprocessing)


def image_key(image_id: str) -> str:
    return f"sam:image:{_place(image_id)}"


def record_key(image_id: str) -> str:
    return f"sam:record:{_place(image_id)}"


def owners_key(image_id: str) -> str:
    return f"sam:owners:{_place(image_id)}"


def logits_key(token: str) -> str:
    return f"sam:logits:{token}"


def queue_name(model: str, weights_digest: str) -> str:
    """Name of the RQ queue of one model's weights. A worker serves exactly one queue.

    Services with other weights of the same model have other queues, so they may share a Redis. That a worker has only
    one queue also makes a job recoverable whose worker is killed between taking it and starting it.
    """
    return f"sam-encode-{model}-{weights_digest[:16]}"


def is_queue_of(model: str, queue: str) -> bool:
    """Whether `queue` is a queue of `model`, whatever its weights."""
    return re.fullmatch(f"sam-encode-{re.escape(model)}-[0-9a-f]{{16}}", queue) is not None


def _place(image_id: str) -> str:
    return "{" + image_id + "}"
