"""`SAM_TOKENS`: which tokens exist, what each allows, and whether a request has one.

The setting holds hashes, so a person who reads it cannot use the tokens. The hashes are plain SHA-256: salt and a slow
hash protect passwords that people choose, but a token is 256 random bits, which nobody finds by trying.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from werkzeug.datastructures import Authorization

from prompt_api.access.scopes import Scope
from shared.contract.errors import ConfigurationError, Unauthorized

_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_HASH = re.compile(r"[0-9a-f]{64}")

NAMESPACE_RULE = "a namespace is 1 to 32 of a-z, 0-9, `-` and `_`, first a letter or digit"

Compare = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Grant:
    """One token, as the settings describe it.

    Attributes:
        namespace: the namespace whose images the token may use; several tokens may share one.
        scopes: what the token allows.
        digest: SHA-256 of the token, 32 bytes.
    """

    namespace: str
    scopes: frozenset[Scope]
    digest: bytes

    @property
    def name(self) -> str:
        """The grant's name in counters and logs. It does not reveal the token."""
        return f"{self.namespace}:{self.digest.hex()[:12]}"

    @property
    def entry(self) -> str:
        """The grant's entry in `SAM_TOKENS`."""
        scopes = "+".join(scope for scope in Scope if scope in self.scopes)
        return f"{self.namespace}:{scopes}:{self.digest.hex()}"


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def parse_grants(setting: str) -> tuple[Grant, ...]:
    """Return the grants of `SAM_TOKENS`: entries `namespace:scopes:hash`, separated by commas.

    Raises:
        ConfigurationError: an entry is malformed, or two entries have the same token.
    """
    entries = [entry.strip() for entry in setting.split(",")]
    grants = tuple(_parse(number, entry) for number, entry in enumerate(entries, start=1) if entry)
    if len({grant.digest for grant in grants}) < len(grants):
        raise ConfigurationError("SAM_TOKENS: two entries have the same hash; one token belongs to one namespace")
    return grants


def is_namespace(text: str) -> bool:
    """Return whether `text` can name a namespace, see `NAMESPACE_RULE`."""
    return _NAMESPACE.fullmatch(text) is not None


def _parse(number: int, entry: str) -> Grant:
    # Messages do not repeat the entry: somebody may have put the token where its hash belongs.
    where = f"SAM_TOKENS, entry {number}"
    parts = entry.split(":")
    if len(parts) != 3:
        raise ConfigurationError(
            f"{where} is not `namespace:scopes:hash`; `python -m prompt_api.access.new_token` makes one"
        )
    namespace, scopes, digest = parts
    if not is_namespace(namespace):
        raise ConfigurationError(f"{where}: {NAMESPACE_RULE}")
    if not all(scope in {*Scope} for scope in scopes.split("+")):
        raise ConfigurationError(f"{where}: scopes are `read`, `write` or `read+write`")
    if not _HASH.fullmatch(digest):
        raise ConfigurationError(f"{where}: the hash is not the lower-case hex SHA-256 of a token, 64 digits")
    if bytes.fromhex(digest) == digest_of(""):
        raise ConfigurationError(f"{where}: that is the hash of an empty token, which everybody has")
    return Grant(namespace, frozenset(map(Scope, scopes.split("+"))), bytes.fromhex(digest))


class Authenticator:
    """Finds the grant of the token in a request's `Authorization` header."""

    def __init__(self, grants: Sequence[Grant], compare: Compare = hmac.compare_digest) -> None:
        """Args:
        compare: returns whether two digests are equal, in a time that does not depend on where they differ.
        """
        self._grants = tuple(grants)
        self._compare = compare

    @property
    def enabled(self) -> bool:
        """False if there are no tokens: then everybody may do everything."""
        return bool(self._grants)

    def identify(self, header: str | None) -> Grant | None:
        """Return the grant of the token in `header`, or None if the token is missing or unknown.

        The token is a Bearer token, or the password of Basic authentication with any user name: some programs
        offer only a user name and a password.
        """
        token = _token_in(header)
        digest = digest_of("" if token is None else token)
        found = None
        for grant in self._grants:  # always all of them, so that the time does not reveal which one matched
            if self._compare(grant.digest, digest):
                found = grant
        return None if token is None else found

    def require(self, header: str | None) -> Grant:
        """Return what `identify` returns, or refuse the request.

        Raises:
            Unauthorized: the request has no known token.
        """
        grant = self.identify(header)
        if grant is None:
            raise Unauthorized(
                "this service wants a token: send `Authorization: Bearer …`"
                if header is None
                else "the token is unknown here, or was removed"
            )
        return grant


def _token_in(header: str | None) -> str | None:
    credentials = Authorization.from_header(header)
    if credentials is None:
        return None
    if credentials.type == "bearer":
        return credentials.token
    return credentials.password if credentials.type == "basic" else None
