"""Names of keys, queues and channels in Redis. Each operation on the cache uses one key, so it may be a Cluster.

Cache role (may evict):
    sam:image:{<id>}                                the uploaded bytes
    sam:record:{<id>}                               JSON: size of the oriented image; outlives the bytes
    sam:tensors:<model>:<weights>:<prep>:{<id>}     the image embedding, see `shared.tensors.embedding`
    sam:tensors:…:{<id>}:<x0>-<y0>-<x1>-<y1>        that of a region of the image
    sam:regions:{<id>}                              the regions of the image that were asked for, as a row, the one
                                                    that was asked for last at the end
    sam:preview:{<id>}                              a JPEG for browsers, of images that not every browser shows
    sam:owners:{<id>}                               namespaces that uploaded the image, as a set; only if tokens are set
    sam:logits:<token>                              low-res logits of one answer, see `shared.tensors.logits`
    sam:logits-row:<namespace>                      names of a namespace's stored logits, the oldest first
    sam:everything:<job>:{<id>}                     every mask of the image, see `prompt_api.everything.job.stored`
    sam:everything-progress:<job>:{<id>}            the masks so far, while a worker looks for them
    sam:everything-asked:<job>:{<id>}               JSON: what the job asks for, and whether it was stopped
    sam:everything-askers:<job>:{<id>}              namespaces that asked for it, as a set
    sam:everything-jobs:{<id>}                      the names of the image's everything jobs, as a set
    sam:rate:{…}                                    a client's recent requests, as the `limits` library counts them; in
                                                    the queue role if the cache is a Cluster
Queue role (must not evict): RQ's own keys, the channel EVENTS, and
    sam:damaged-job:<job id>                        a job that a worker could not read and set aside, for a day

Braces are part of a name: a Cluster chooses the node of a key by the text inside them. So all keys of one image are on
one node. The loss of a node then loses some images completely, instead of a part of nearly every image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.contract.errors import EncodeFailed, ImageNotFound
from shared.contract.models import Model
from shared.contract.region import Region

ENCODE_JOB = "sam.encode"
"""Name of every job in an encode queue. It is only compared: it is not the path of a function that is imported."""

EVENTS = "sam:events"
"""Pub/sub channel in the queue role. Each change of status is published as `{"image_id", "model", "status"}`, and for
anything but the embedding of the whole image also `"part"`: the text of a region, or the name of an everything job."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Return whether `text` is a SHA-256: 64 lower-case hex digits."""
    return _SHA256.fullmatch(text) is not None


def parse_image_id(text: str) -> str:
    """Return `text` if it is an image id (64 lower-case hex digits of SHA-256).

    Raises:
        ImageNotFound: `text` is not an image id, so no image can have it.
    """
    if not is_digest(text):
        raise ImageNotFound("an image id is the lower-case hex SHA-256 of the uploaded bytes")
    return text


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """The identity of an image embedding: the image, the part of it, the model, its weights and the preprocessing.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model's name.
        weights_digest: lower-case hex SHA-256 of the weights, 64 characters.
        preprocessing: version of reading + resize + normalise + pad.
        region: the part of the image that is encoded; None for the whole image. The names and arguments of a whole
            image do not mention it, so they are those of the releases before there were regions.
    """

    image_id: str
    model: str
    weights_digest: str
    preprocessing: str
    region: Region | None = None

    @classmethod
    def of(cls, image_id: str, model: Model, region: Region | None = None) -> EmbeddingKey:
        return cls(image_id, model.name, model.weights_digest, model.preprocessing, region)

    @property
    def redis_key(self) -> str:
        image = f"sam:tensors:{self.model}:{self.weights_digest[:16]}:{self.preprocessing}:{_place(self.image_id)}"
        return image if self.region is None else f"{image}:{self.region.text}"

    @property
    def part(self) -> str:
        """See `JobKey.part`."""
        return "" if self.region is None else self.region.text

    @property
    def queue(self) -> str:
        """Name of the RQ queue for the job that makes this embedding."""
        return queue_name(self.model, self.weights_digest)

    @property
    def job_id(self) -> str:
        """RQ job id, which is also the single-flight lock of this encoding. Letters, digits, `_` and `-` only.

        A dot in the model's name becomes `_`. The digest of the weights depends on the name, so ids stay distinct.
        """
        image = f"{self.queue}-{self.preprocessing}-{self.image_id}".replace(".", "_")
        return image if self.region is None else f"{image}-{self.region.text}"

    @property
    def job_arguments(self) -> tuple[str, ...]:
        """Arguments of the job that makes this embedding: four, and for a region its text. `of_job` reads them."""
        image = (self.image_id, self.model, self.weights_digest, self.preprocessing)
        return image if self.region is None else (*image, self.region.text)

    @classmethod
    def of_job(cls, arguments: object) -> EmbeddingKey:
        """Return the key that a job's arguments describe.

        Raises:
            EncodeFailed: the arguments are not the `job_arguments` of any key.
        """
        if (
            not isinstance(arguments, list | tuple)
            or len(arguments) not in (4, 5)
            or not all(isinstance(argument, str) for argument in arguments)
        ):
            raise EncodeFailed("the job's arguments name no embedding")
        image_id, model, weights_digest, preprocessing, *part = arguments
        if not (is_digest(image_id) and is_digest(weights_digest)):
            raise EncodeFailed("the job's arguments name no embedding")
        try:
            region = Region.read(part[0]) if part else None
        except ValueError:
            raise EncodeFailed("the job's arguments name no embedding: not a region") from None
        return cls(image_id, model, weights_digest, preprocessing, region)


def image_key(image_id: str) -> str:
    return f"sam:image:{_place(image_id)}"


def record_key(image_id: str) -> str:
    return f"sam:record:{_place(image_id)}"


def preview_key(image_id: str) -> str:
    return f"sam:preview:{_place(image_id)}"


def regions_key(image_id: str) -> str:
    return f"sam:regions:{_place(image_id)}"


def owners_key(image_id: str) -> str:
    return f"sam:owners:{_place(image_id)}"


def logits_key(token: str) -> str:
    return f"sam:logits:{token}"


def logits_row_key(namespace: str) -> str:
    return f"sam:logits-row:{namespace}"


def damaged_job_key(job_id: str) -> str:
    return f"sam:damaged-job:{job_id}"


def queue_name(model: str, weights_digest: str) -> str:
    """Return the name of the RQ queue for one model and its weights. A worker serves exactly one queue.

    Services with different weights of one model use different queues, so they may share a Redis. Because a worker has
    only one queue, a job can also be recovered if its worker is killed between taking the job and starting it.
    """
    return f"sam-encode-{model}-{weights_digest[:16]}"


def is_queue_of(model: str, queue: str) -> bool:
    """Return whether `queue` is a queue of `model`, for any weights."""
    return re.fullmatch(f"sam-encode-{re.escape(model)}-[0-9a-f]{{16}}", queue) is not None


def _place(image_id: str) -> str:
    return "{" + image_id + "}"
