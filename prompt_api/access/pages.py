"""Refuses what pages of other origins send through a visitor's browser.

A browser lets any page send a request to a service on the visitor's own machine or network. The page cannot read the
answer, but an upload or a deletion has happened by then. With DNS rebinding a page can even read the answers: its own
name first leads to its own server and later to 127.0.0.1, so that the browser takes this service for that server. Such
a request still carries the page's name as its `Host`.

Programs send neither `Origin` nor `Sec-Fetch-Site`, so nothing here concerns them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.contract.errors import ConfigurationError, ForeignOrigin, UnknownHost

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

OPEN_TO_ANY_HOST = frozenset({"/healthz", "/readyz"})
"""Paths that orchestrators and gateways ask under names of their own. They tell nobody's data."""

OWN_NAMES = frozenset({"localhost", "host.docker.internal"})
"""Names that lead to this machine wherever they are asked for. The second is Docker's name for it."""

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class PageRules:
    """Which pages may use the service through a browser.

    Attributes:
        origins: the origins of other sites whose pages may.
        hosts: the names under which the service answers; None if it answers under any. It answers under every IP
            address too: DNS rebinding needs a name.
    """

    origins: frozenset[str]
    hosts: frozenset[str] | None

    def require(self, *, method: str, path: str, host: str | None, origin: str | None, fetch_site: str | None) -> None:
        """Return if no foreign page has sent the request.

        Args:
            host: its `Host`; None if it has none.
            origin: its `Origin`; None if it has none.
            fetch_site: its `Sec-Fetch-Site`; None if it has none.

        Raises:
            UnknownHost: the service does not answer under the name in `Host`.
            ForeignOrigin: the request changes something, and comes from a page of an origin that is not allowed.
        """
        if self.hosts is not None and host and path not in OPEN_TO_ANY_HOST and not self._knows(host):
            raise UnknownHost("the service does not answer under this name; add it to SAM_ALLOWED_HOSTS")
        if method in READING or origin in self.origins:
            return
        if fetch_site in ("same-origin", "none"):  # browsers set this header themselves, pages cannot
            return
        if fetch_site is not None or (origin is not None and not _same(origin, host)):
            raise ForeignOrigin("a page of another origin may not do this; add its origin to SAM_CORS_ORIGINS")

    def _knows(self, host: str) -> bool:
        name = _name(host)
        assert self.hosts is not None
        return name in self.hosts or _is_address(name)


def allowed_hosts(setting: str, listens_on: str, *, loopback: bool) -> frozenset[str] | None:
    """Return the names under which the service answers, or None for any.

    Args:
        setting: `SAM_ALLOWED_HOSTS`.
        listens_on: `SAM_HOST`.
        loopback: whether only this machine reaches that address. Otherwise names are only checked if they are set.

    Raises:
        ConfigurationError: an entry is not a host name.
    """
    named = [entry.strip().lower() for entry in setting.split(",") if entry.strip()]
    for name in named:
        if not (_NAME.fullmatch(name) or _is_address(name)):
            raise ConfigurationError(
                f"SAM_ALLOWED_HOSTS: {name!r} is not a host name; say for example sam.example, without scheme and port"
            )
    if not named and not loopback:
        return None
    return frozenset(named) | OWN_NAMES | {listens_on.lower()}


def _name(host: str) -> str:
    """Return the name or address in a `Host` header, in lower case and without port, brackets and final dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).removesuffix(".")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _same(origin: str, host: str | None) -> bool:
    """Return whether a page of `origin` was served under `host`.

    The scheme is not compared, because a proxy may have ended TLS.
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    own = {"http": ":80", "https": ":443"}.get(parts.scheme)
    if own is None or not host:
        return False
    return parts.netloc.lower().removesuffix(own) == host.strip().lower().removesuffix(own)
