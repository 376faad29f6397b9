"""A route as the contract, the log, the metrics and the traces write it."""

from __future__ import annotations

import re
from functools import cache

_PARAMETER = re.compile(r"<(?:[^<>]*:)?([^<>]+)>")


@cache
def template_of(rule: str) -> str:
    """A Flask rule as documented: `/v1/images/<image_id>` becomes `/v1/images/{image_id}`."""
    return _PARAMETER.sub(r"{\1}", rule)
