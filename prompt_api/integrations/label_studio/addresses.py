"""Decides which network addresses an image may be fetched from when Label Studio points to its storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prompt_api.remote_images.addresses import METADATA, plain


def is_allowed(storage: str, label_studio: Callable[[], Iterable[str]]) -> bool:
    """Return whether an image may be fetched from a storage at an address.

    A public address is allowed. An address of a private network is allowed if Label Studio is on one too or on this
    machine, and an address of this machine if Label Studio is on it. Link-local and special addresses never are.

    Args:
        storage: address of the storage.
        label_studio: returns the addresses of Label Studio. It is not called for a public address.
    """
    address = plain(storage)
    if address in METADATA or address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    if address.is_global and not address.is_loopback:
        return True
    near = [plain(one) for one in label_studio()]
    if address.is_loopback:
        return any(one.is_loopback for one in near)
    return not address.is_reserved and any(not one.is_global for one in near)
