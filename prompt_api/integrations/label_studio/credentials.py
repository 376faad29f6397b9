"""Makes the `Authorization` header of requests to Label Studio from one of its two kinds of token."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Protocol


class Credentials(Protocol):
    """Authenticates requests to Label Studio."""

    def header(self, refresh: Callable[[str], str]) -> str | None:
        """Return the value of `Authorization`, or None for no such header.

        Args:
            refresh: gets an access token from Label Studio for a personal access token.
        """
        ...

    def refused(self, header: str | None) -> bool:
        """Note that Label Studio refused `header`. Return True if a retry with a new header makes sense."""
        ...


class NoToken:
    """For a Label Studio whose images need no authentication."""

    def header(self, refresh: Callable[[str], str]) -> None:  # noqa: ARG002 - the seam's
        return None

    def refused(self, header: str | None) -> bool:  # noqa: ARG002 - the seam's
        return False


class LegacyToken:
    """A token that is sent unchanged and does not expire."""

    def __init__(self, token: str) -> None:
        self._token = token

    def header(self, refresh: Callable[[str], str]) -> str:  # noqa: ARG002 - the seam's
        return f"Token {self._token}"

    def refused(self, header: str | None) -> bool:  # noqa: ARG002 - the seam's
        return False


class PersonalAccessToken:
    """A JWT that can only be exchanged for access tokens, which expire after a few minutes. Thread-safe."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._lock = Lock()
        self._header: str | None = None

    def header(self, refresh: Callable[[str], str]) -> str:
        with self._lock:
            if self._header is None:
                self._header = f"Bearer {refresh(self._token)}"
            return self._header

    def refused(self, header: str | None) -> bool:
        with self._lock:
            if self._header == header:
                self._header = None
        return True


def credentials(token: str) -> Credentials:
    """Return the credentials for `token`.

    A JWT is a personal access token, the default since Label Studio 1.16. Any other token is a legacy token.
    """
    if not token:
        return NoToken()
    return PersonalAccessToken(token) if token.startswith("eyJ") and token.count(".") == 2 else LegacyToken(token)
