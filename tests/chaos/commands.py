"""What a worker says to Redis at the points where it is killed, by the names that the service gives its keys."""

from __future__ import annotations

import re

from shared.contract.keys import EmbeddingKey, image_key

_ANY_IMAGE = "0" * 64
_ANY_MODEL = "model"
_KEY = EmbeddingKey(_ANY_IMAGE, _ANY_MODEL, "w" * 64, "preprocessing")


def _on(command: str, key: str) -> re.Pattern[bytes]:
    """`command` on the key of any image, and of any model if `key` names one. Its group is the image's id."""
    name = re.escape(key).replace(_ANY_IMAGE, "([0-9a-f]{64})")
    if _ANY_MODEL in key:
        # What stands between the model and the image identifies the weights.
        start, _, rest = name.partition(_ANY_MODEL)
        name = start + r"[^\r\n]*?" + rest[rest.rindex(":") :]
    return re.compile(rf"{command}\r\n\$\d+\r\n{name}\r\n".encode())


POPPED = re.compile(rb"LMOVE\r\n")
JOB = re.compile(rb"[\w.-]+-([0-9a-f]{64})")
LOADED = _on("GET", image_key(_ANY_IMAGE))
STORED = _on("SET", _KEY.redis_key)
"""A worker takes a job, and the reply with the job's id; it loads an image; it stores an embedding."""
