"""The form of a route in the HTTP contract, logs, metrics and traces."""

from __future__ import annotations

import re
from functools import cache

_PARAMETER = re.compile(r"<(?:[^<>]*:)?([^<>]+)>")


@cache
def template_of(rule: str) -> str:
    """Return a Flask rule in the documented form: `/v1/images/<image_id>` becomes `/v1/images/{image_id}`."""
    return _PARAMETER.sub(r"{\1}", rule)
