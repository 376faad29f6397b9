"""The id that identifies a request in the logs of the gateway, the API and the worker."""

from __future__ import annotations

import re
import uuid

HEADER = "X-Request-ID"

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def well_formed(text: object) -> bool:
    """Return whether `text` may be used as an id: 1 to 64 letters, digits, dots, dashes and underscores."""
    return isinstance(text, str) and _WELL_FORMED.fullmatch(text) is not None


def request_id_of(header: str | None) -> str:
    """Return the id that a client or a gateway gave the request, or a new id if that one is missing or malformed."""
    return header if header is not None and well_formed(header) else uuid.uuid4().hex
