"""Who asks for predictions, as far as it matters to the images that are taken in for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prompt_api.access.scopes import Quota


@dataclass(frozen=True, slots=True)
class Asker:
    """Attributes:
    namespace: whose images they become.
    spend: counts so much against the client's share, or raises `RateLimited`; to be called in the request's own thread.
    """

    namespace: str
    spend: Callable[[Quota, int], None]
