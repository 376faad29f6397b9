"""Parses the URL that says where Redis is: one server, a master behind sentinels, or the nodes of a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from shared.contract.errors import ConfigurationError

SENTINEL_PORT = 26379
NODE_PORT = 6379

_WHO = "SAM_CACHE_URL or SAM_QUEUE_URL: "
_SHAPES = {
    "sentinel": "redis+sentinel://[user:password@]host[:port],host[:port],…/service[/db]"
    "[?sentinel_username=…&sentinel_password=…]",
    "cluster": "redis+cluster://[user:password@]host[:port],host[:port],…",
}
_PARTS = re.compile(r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class OneServer:
    """A URL that redis-py reads by itself: redis://, rediss:// or unix://."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BehindSentinels:
    """The master of `service`, which the sentinels at `sentinels` know.

    Attributes:
        sentinel_username, sentinel_password: for the sentinels, which have their own accounts.
        tls: whether sentinels and servers are reached over TLS.
    """

    sentinels: tuple[Address, ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False


@dataclass(frozen=True, slots=True)
class ClusterNodes:
    """Some nodes of a cluster, which know the others."""

    nodes: tuple[Address, ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False


Location = OneServer | BehindSentinels | ClusterNodes


def parse_redis_url(url: str) -> Location:
    """Parse `url`. A URL without a plus in its scheme is left to redis-py.

    Raises:
        ConfigurationError: `url` is malformed. The message shows no part of it, because any part may be the password.
    """
    scheme, _, rest = url.partition("://")
    base, plus, kind = scheme.partition("+")
    if not plus:
        return OneServer(url)
    if kind not in _SHAPES or base not in ("redis", "rediss"):
        raise ConfigurationError(_WHO + "the schemes with a plus are " + ", ".join(_schemes()))
    parts = _PARTS.fullmatch(rest)
    if parts is None:
        raise _malformed(kind, "it has a `#`, which must be written %23")
    accounts, _, hosts = parts["authority"].rpartition("@")
    username, _, password = accounts.partition(":")
    path, query = parts["path"], parts["query"] or ""
    if kind == "cluster":
        if path not in ("", "/", "/0") or query:
            raise _malformed(kind, "a cluster has one database and no parameters")
        return ClusterNodes(
            nodes=_addresses(kind, hosts, NODE_PORT),
            username=_text(username),
            password=_text(password),
            tls=base == "rediss",
        )
    service, db = _service(path)
    parameters = _parameters(query)
    return BehindSentinels(
        sentinels=_addresses(kind, hosts, SENTINEL_PORT),
        service=service,
        db=db,
        username=_text(username),
        password=_text(password),
        sentinel_username=parameters.get("sentinel_username"),
        sentinel_password=parameters.get("sentinel_password"),
        tls=base == "rediss",
    )


def _schemes() -> list[str]:
    return [f"{base}+{kind}" for kind in _SHAPES for base in ("redis", "rediss")]


def _addresses(kind: str, hosts: str, port: int) -> tuple[Address, ...]:
    found = []
    for text in hosts.split(","):
        match = _HOST.fullmatch(text.strip())
        number = int(match["port"] or port) if match else 0
        if match is None or not 1 <= number <= 65_535:
            raise _malformed(kind, "an address is host, host:port or [IPv6]:port")
        found.append(Address(match["host"].strip("[]"), number))
    return tuple(dict.fromkeys(found))


def _service(path: str) -> tuple[str, int]:
    _, _, rest = path.partition("/")
    name, slash, db = rest.partition("/")
    if not name or (slash and not (db.isascii() and db.isdigit())) or len(db) > 5:
        raise _malformed("sentinel", "the path is the service's name, as the sentinels know it, and maybe a database")
    return unquote(name), int(db or 0)


def _parameters(query: str) -> dict[str, str]:
    try:  # a plus is a literal plus, as in the rest of the URL: the query is not form data
        pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        pairs = [("", "")]
    if not {name for name, _ in pairs} <= {"sentinel_username", "sentinel_password"}:
        raise _malformed("sentinel", "its parameters are sentinel_username and sentinel_password")
    return {name: value for name, value in pairs if value}


def _text(quoted: str) -> str | None:
    return unquote(quoted) or None


def _malformed(kind: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{_WHO}{reason}; the URL is {_SHAPES[kind]}")
