"""Decides which network addresses an image may be fetched from when Label Studio points to its storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_METADATA = frozenset(
    ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
"""Addresses at which clouds give secrets to the machines that run there."""

_NAT64 = IPv6Network("64:ff9b::/96")


def is_allowed(storage: str, label_studio: Callable[[], Iterable[str]]) -> bool:
    """Return whether an image may be fetched from a storage at an address.

    A public address is allowed. An address of a private network is allowed if Label Studio is on one too or on this
    machine, and an address of this machine if Label Studio is on it. Link-local and special addresses never are.

    Args:
        storage: address of the storage.
        label_studio: returns the addresses of Label Studio. It is not called for a public address.
    """
    address = _plain(storage)
    if address in _METADATA or address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    if address.is_global and not address.is_loopback:
        return True
    near = [_plain(one) for one in label_studio()]
    if address.is_loopback:
        return any(one.is_loopback for one in near)
    return not address.is_reserved and any(not one.is_global for one in near)


def _plain(text: str) -> Address:
    """Return the address. An IPv4 address that is written as IPv6 becomes IPv4 again."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
