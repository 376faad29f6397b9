"""Label Studio's two kinds of token, as the header that a request carries."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Protocol


class Credentials(Protocol):
    """What authenticates a request to Label Studio."""

    def header(self, refresh: Callable[[str], str]) -> str | None:
        """The value of `Authorization`; None for no such header.

        Args:
            refresh: gets an access token for a personal access token, from Label Studio.
        """
        ...

    def refused(self, header: str | None) -> bool:
        """Label Studio did not take `header`. True if another one may do."""
        ...


class NoToken:
    """For a Label Studio whose images anybody may see."""

    def header(self, refresh: Callable[[str], str]) -> None:  # noqa: ARG002 - the seam's
        return None

    def refused(self, header: str | None) -> bool:  # noqa: ARG002 - the seam's
        return False


class LegacyToken:
    """A token that is sent as it is, and does not expire."""

    def __init__(self, token: str) -> None:
        self._token = token

    def header(self, refresh: Callable[[str], str]) -> str:  # noqa: ARG002 - the seam's
        return f"Token {self._token}"

    def refused(self, header: str | None) -> bool:  # noqa: ARG002 - the seam's
        return False


class PersonalAccessToken:
    """A JWT that is only good for getting access tokens, each of them for a few minutes. Thread-safe."""

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
    """What `token` is: JWTs are personal access tokens, the default since Label Studio 1.16; others legacy tokens."""
    if not token:
        return NoToken()
    return PersonalAccessToken(token) if token.startswith("eyJ") and token.count(".") == 2 else LegacyToken(token)
