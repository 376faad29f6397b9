"""Patterns of the commands that a worker sends to Redis at the points where it is killed."""

from __future__ import annotations

import re

from prompt_api.everything.job.key import EverythingKey
from shared.contract.keys import EmbeddingKey, image_key

_ANY_IMAGE = "0" * 64
_ANY_MODEL = "model"
_KEY = EmbeddingKey(_ANY_IMAGE, _ANY_MODEL, "w" * 64, "preprocessing")
_JOB = EverythingKey(_ANY_IMAGE, _ANY_MODEL, "w" * 64, "preprocessing", "{}")


def _on(command: str, key: str) -> re.Pattern[bytes]:
    """Match `command` on the key of any image, any model and any job that `key` names. The group is the image's id."""
    name = re.escape(key).replace(_ANY_IMAGE, "([0-9a-f]{64})").replace(_JOB.name, "[0-9a-f]{32}")
    if _ANY_MODEL in key:
        # The part of the key between the model and the image identifies the weights.
        start, _, rest = name.partition(_ANY_MODEL)
        name = start + r"[^\r\n]*?" + rest[rest.rindex(":") :]
    return re.compile(rf"{command}\r\n\$\d+\r\n{name}\r\n".encode())


POPPED = re.compile(rb"LMOVE\r\n|-- take jobs\n")
JOB = re.compile(rb"[\w.-]+-([0-9a-f]{64})\r\n")
LOADED = _on("GET", image_key(_ANY_IMAGE))
STORED = _on("SET", _KEY.redis_key)
"""In order: a worker pops a job that it waited for, or takes one that is there; the reply with the id of a whole
image's job; it loads an image; it stores the embedding of a whole image."""

TOLD = _on("SET", _JOB.progress_key)
FOUND = _on("SET", _JOB.result_key)
"""A mask worker tells its progress in the middle of a job; it stores all masks of an image."""


def begun(image_id: str) -> re.Pattern[bytes]:
    """Match the first command of a worker for a region of this image: it looks whether the embedding is there."""
    return re.compile(rb"EXISTS\r\n\$\d+\r\nsam:tensors:[^\r\n]*\{(" + image_id.encode() + rb")\}:[\d-]+\r\n")
