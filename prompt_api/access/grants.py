"""`SAM_TOKENS`: which tokens there are, what each is good for, and whether a request has one.

The setting holds hashes, so whoever reads it cannot use it. They are plain SHA-256: salt and slowness protect what
people choose, and a token is 256 random bits, which nobody finds by trying.
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

Compare = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Grant:
    """One token, as the settings have it.

    Attributes:
        namespace: whose images it sees; several tokens may share one.
        scopes: what it is good for.
        digest: SHA-256 of the token, 32 bytes.
    """

    namespace: str
    scopes: frozenset[Scope]
    digest: bytes

    @property
    def name(self) -> str:
        """Tells it from others in counters and logs; says nothing of the token."""
        return f"{self.namespace}:{self.digest.hex()[:12]}"

    @property
    def entry(self) -> str:
        """What goes into `SAM_TOKENS`."""
        scopes = "+".join(scope for scope in Scope if scope in self.scopes)
        return f"{self.namespace}:{scopes}:{self.digest.hex()}"


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def parse_grants(setting: str) -> tuple[Grant, ...]:
    """The tokens of `SAM_TOKENS`: entries `namespace:scopes:hash`, separated by commas.

    Raises:
        ConfigurationError: an entry is malformed, or a token is there twice.
    """
    entries = [entry.strip() for entry in setting.split(",")]
    grants = tuple(_parse(number, entry) for number, entry in enumerate(entries, start=1) if entry)
    if len({grant.digest for grant in grants}) < len(grants):
        raise ConfigurationError("SAM_TOKENS: two entries have the same hash; one token belongs to one namespace")
    return grants


def _parse(number: int, entry: str) -> Grant:
    # The entry itself is not repeated: somebody may have put the token where its hash belongs.
    where = f"SAM_TOKENS, entry {number}"
    parts = entry.split(":")
    if len(parts) != 3:
        raise ConfigurationError(
            f"{where} is not `namespace:scopes:hash`; `python -m prompt_api.access.new_token` makes one"
        )
    namespace, scopes, digest = parts
    if not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(f"{where}: a namespace is 1 to 32 of a-z, 0-9, `-` and `_`, first a letter or digit")
    if not all(scope in {*Scope} for scope in scopes.split("+")):
        raise ConfigurationError(f"{where}: scopes are `read`, `write` or `read+write`")
    if not _HASH.fullmatch(digest):
        raise ConfigurationError(f"{where}: the hash is not the lower-case hex SHA-256 of a token, 64 digits")
    if bytes.fromhex(digest) == digest_of(""):
        raise ConfigurationError(f"{where}: that is the hash of nothing, which everybody has")
    return Grant(namespace, frozenset(map(Scope, scopes.split("+"))), bytes.fromhex(digest))


class Authenticator:
    """Finds the grant that a request's `Authorization` header stands for."""

    def __init__(self, grants: Sequence[Grant], compare: Compare = hmac.compare_digest) -> None:
        """Args:
        compare: whether two digests are equal, in a time that does not depend on where they differ.
        """
        self._grants = tuple(grants)
        self._compare = compare

    @property
    def enabled(self) -> bool:
        """False where there are no tokens: everybody may do everything."""
        return bool(self._grants)

    def identify(self, header: str | None) -> Grant | None:
        """The grant of the token in `header`; None if there is none, or one that is not known.

        The token is a Bearer token, or the password of Basic authentication, whatever the user name: what
        programs offer that have two fields for credentials.
        """
        token = _token_in(header)
        digest = digest_of("" if token is None else token)
        found = None
        for grant in self._grants:  # all of them, always: the time says nothing of which one it was
            if self._compare(grant.digest, digest):
                found = grant
        return None if token is None else found

    def require(self, header: str | None) -> Grant:
        """`identify`, where a request without a known token is refused.

        Raises:
            Unauthorized: it has none.
        """
        grant = self.identify(header)
        if grant is None:
            raise Unauthorized(
                "this service wants a token: send `Authorization: Bearer …`"
                if header is None
                else "the token is not known here, or no longer"
            )
        return grant


def _token_in(header: str | None) -> str | None:
    credentials = Authorization.from_header(header)
    if credentials is None:
        return None
    if credentials.type == "bearer":
        return credentials.token
    return credentials.password if credentials.type == "basic" else None
