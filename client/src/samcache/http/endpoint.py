"""Where a service answers, and the token it knows this client by."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A service as a client names it.

    Attributes:
        url: without a slash at its end.
        token: sent with each request and never shown; None if there is none.
    """

    url: str
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: the token has a character that cannot be sent.
        """
        object.__setattr__(self, "url", self.url.rstrip("/"))
        # httpx would refuse it too, but would show the token in its message.
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ValueError("a token is printable ASCII without spaces, and not empty")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
