"""The identity of an everything job, and its names in Redis."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from prompt_api.everything.options import EverythingOptions
from shared.contract.errors import EverythingFailed, JobNotFound
from shared.contract.keys import EmbeddingKey, is_digest
from shared.contract.models import Model

EVERYTHING_JOB = "sam.everything"
"""Name of every job in an everything queue. It is only compared: it is not the path of a function that is imported."""

ALGORITHM = "e1"
"""Version of the search. A change that gives other masks for the same options gets another one."""

_NAME = re.compile(r"[0-9a-f]{32}")
_LONGEST_OPTIONS = 4_096


@dataclass(frozen=True, slots=True)
class EverythingKey:
    """What one job looks for: every mask of one image, by one model, with the same options.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model's name.
        weights_digest: lower-case hex SHA-256 of the weights, 64 characters.
        preprocessing: that of the embeddings that are decoded.
        options: see `EverythingOptions.canonical`.
    """

    image_id: str
    model: str
    weights_digest: str
    preprocessing: str
    options: str

    @classmethod
    def of(cls, image_id: str, model: Model, options: EverythingOptions) -> EverythingKey:
        return cls(image_id, model.name, model.weights_digest, model.preprocessing, options.canonical)

    @property
    def name(self) -> str:
        """The job's name: 32 hex digits, a hash of everything that its masks depend on."""
        return hashlib.sha256(json.dumps([ALGORITHM, *self.job_arguments]).encode()).hexdigest()[:32]

    @property
    def part(self) -> str:
        """See `JobKey.part`."""
        return f"everything-{self.name}"

    @property
    def queue(self) -> str:
        return everything_queue(self.model, self.weights_digest)

    @property
    def job_id(self) -> str:
        return f"sam-everything-{self.name}"

    @property
    def job_arguments(self) -> tuple[str, ...]:
        """Arguments of the job. `of_job` reads them."""
        return self.image_id, self.model, self.weights_digest, self.preprocessing, self.options

    @classmethod
    def of_job(cls, arguments: object) -> EverythingKey:
        """Return the key that a job's arguments describe.

        Raises:
            EverythingFailed: the arguments are not the `job_arguments` of any key.
        """
        match arguments:
            case [str(image_id), str(model), str(weights), str(preprocessing), str(options)] if (
                is_digest(image_id) and is_digest(weights) and len(options) <= _LONGEST_OPTIONS
            ):
                return cls(image_id, model, weights, preprocessing, options)
        raise EverythingFailed("the job's arguments name no everything job")

    def is_of(self, model: Model) -> bool:
        """Return whether the job is for exactly this model, its weights and its preprocessing."""
        own = EmbeddingKey.of(self.image_id, model)
        return (own.model, own.weights_digest, own.preprocessing) == (
            self.model,
            self.weights_digest,
            self.preprocessing,
        )

    # Names in the cache role.

    @property
    def result_key(self) -> str:
        return self._named("everything")

    @property
    def progress_key(self) -> str:
        return self._named("everything-progress")

    @property
    def asked_key(self) -> str:
        return asked_key(self.image_id, self.name)

    @property
    def askers_key(self) -> str:
        return self._named("everything-askers")

    def _named(self, kind: str) -> str:
        return _key(kind, self.image_id, self.name)


def parse_job_name(text: str) -> str:
    """Return `text` if it is a job's name (32 lower-case hex digits).

    Raises:
        JobNotFound: it is not, so no job can have it.
    """
    if not _NAME.fullmatch(text):
        raise JobNotFound("a job's name has 32 lower-case hex digits")
    return text


def everything_queue(model: str, weights_digest: str) -> str:
    """Return the name of the RQ queue for the everything jobs of one model and its weights.

    A mask worker serves exactly one queue, for the reasons that `shared.contract.keys.queue_name` gives.
    """
    return f"sam-everything-{model}-{weights_digest[:16]}"


def is_everything_queue_of(model: str, queue: str) -> bool:
    """Return whether `queue` is the everything queue of `model`, for any weights."""
    return re.fullmatch(f"sam-everything-{re.escape(model)}-[0-9a-f]{{16}}", queue) is not None


def asked_key(image_id: str, name: str) -> str:
    return _key("everything-asked", image_id, name)


def jobs_key(image_id: str) -> str:
    return f"sam:everything-jobs:{{{image_id}}}"


def _key(kind: str, image_id: str, name: str) -> str:
    return f"sam:{kind}:{name}:{{{image_id}}}"
