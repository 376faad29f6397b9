"""What is known of network addresses: which of them are public, and which give secrets away."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

METADATA = frozenset(
    ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
"""Addresses at which clouds give secrets to the machines that run there."""

_NAT64 = IPv6Network("64:ff9b::/96")

_TUNNELS = tuple(IPv6Network(text) for text in ("64:ff9b:1::/48", "2001::/32", "2002::/16"))
"""IPv6 networks whose addresses stand for IPv4 addresses of any kind: local NAT64, Teredo, 6to4."""


def plain(text: str) -> Address:
    """Return the address. An IPv4 address that is written as IPv6 becomes IPv4 again.

    Raises:
        ValueError: `text` is no address.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(text: str) -> bool:
    """Return whether an address belongs to the public internet, and to no cloud's metadata service.

    Loopback, private, link-local, multicast and reserved addresses do not, in none of the forms in which IPv6 writes
    IPv4 addresses.
    """
    address = plain(text)
    if isinstance(address, IPv6Address) and (address.is_site_local or any(address in network for network in _TUNNELS)):
        return False
    return address.is_global and not (_special(address) or address.is_loopback or address.is_reserved)


def is_no_trap(text: str) -> bool:
    """Return whether a request may go to an address that the operator has configured: it may be private or loopback.

    Link-local addresses and metadata services are refused all the same, because no image is there.
    """
    return not _special(plain(text))


def _special(address: Address) -> bool:
    return address in METADATA or address.is_multicast or address.is_unspecified or address.is_link_local
