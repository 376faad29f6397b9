"""The client that asks for predictions: where its images go and how its uploads are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prompt_api.access.scopes import Quota


@dataclass(frozen=True, slots=True)
class Asker:
    """Attributes:
    namespace: the namespace that gets the images.
    client: its name. Turns to decode are shared between clients.
    spend: counts a cost against the client's share, or raises `RateLimited`. Call it only in the request's thread.
    """

    namespace: str
    client: str
    spend: Callable[[Quota, int], None]
