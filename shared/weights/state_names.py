"""Finds the prefix that a training program put in front of the names of a state dict."""

from __future__ import annotations

from collections.abc import Iterable

from shared.contract.errors import WeightsError


def common_prefix(names: Iterable[str], anchor: str) -> str:
    """Return what stands in front of `anchor` in the one name that ends in it, such as `sam.` or `module.`.

    Args:
        names: the names of a state dict.
        anchor: a name without prefix that the state dict must have.

    Returns:
        The prefix with its dot; empty if there is none, or if no name ends in `anchor`.

    Raises:
        WeightsError: several names end in `anchor`, so nobody can tell which weights are meant.
    """
    names = set(names)
    found = {name.removesuffix(anchor) for name in names if name == anchor or name.endswith(f".{anchor}")}
    if len(found) > 1:
        told = " and ".join(sorted(prefix + anchor for prefix in found))
        raise WeightsError(f"it is not clear which weights are meant: it has {told}; expected one state dict")
    return found.pop() if found else ""
