"""`SAM_IMAGE_HOSTS`: the hosts and buckets from which images may be fetched."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from shared.contract.errors import ConfigurationError

HTTPS_PORT = 443

_NAME = re.compile(r"(?!.*\.\.)[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class AllowedPlaces:
    """Attributes:
    hosts: (name in lower case, port) of hosts that are asked over HTTPS.
    buckets: names of S3 buckets.
    """

    hosts: frozenset[tuple[str, int]]
    buckets: frozenset[str]


def parse_allowed(setting: str) -> AllowedPlaces:
    """Return the places that `SAM_IMAGE_HOSTS` lists: `name`, `name:port` and `s3://bucket`, separated by commas.

    Raises:
        ConfigurationError: an entry is none of these.
    """
    hosts, buckets = set(), set()
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        scheme, separator, bucket = entry.partition("://")
        if separator:
            if scheme.lower() != "s3" or not _BUCKET.fullmatch(bucket):
                raise _malformed(entry)
            buckets.add(bucket)
        else:
            hosts.add(_host(entry))
    return AllowedPlaces(frozenset(hosts), frozenset(buckets))


def _host(entry: str) -> tuple[str, int]:
    name, colon, port = entry.lower().partition(":")
    long = len(name) > 253 or any(len(label) > 63 for label in name.split("."))
    if long or not _NAME.fullmatch(name) or _is_address(name) or (colon and not re.fullmatch(r"[1-9][0-9]{0,4}", port)):
        raise _malformed(entry)
    number = int(port) if colon else HTTPS_PORT
    if number > 65_535:
        raise _malformed(entry)
    return name, number


def _is_address(name: str) -> bool:
    """Return whether `name` is an IPv4 address, or would be taken for one: `127.1` and `2130706433` are loopback."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", name.rpartition(".")[2]) is not None
    return True


def _malformed(entry: str) -> ConfigurationError:
    return ConfigurationError(
        f"SAM_IMAGE_HOSTS: {entry!r} is neither the name of a host, such as images.example.org or "
        "images.example.org:8443, nor a bucket, such as s3://photos"
    )
