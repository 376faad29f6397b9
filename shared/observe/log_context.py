"""Fields that every log line gets while one request or one job is processed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType

from shared.observe.held import Held

_NOTHING: Mapping[str, object] = MappingProxyType({})

_fields: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default=_NOTHING)


def fields() -> Mapping[str, object]:
    """Return the fields of the current context, such as `request_id`, `image_id`, `model`."""
    return _fields.get()


def add(**more: object) -> None:
    """Add fields until the current `scope` ends. They replace fields of the same name. Outside a scope, do nothing.

    Code calls this where it learns what a request is about.
    """
    present = _fields.get()
    if present:
        _fields.set({**present, **more})


def scope(**more: object) -> AbstractContextManager[None]:
    """Add these fields to every line that is logged inside the block."""
    before = _fields.get()
    return Held(_fields, {**before, **more}, after=before)


def fresh(**more: object) -> AbstractContextManager[None]:
    """Open a `scope` for new work in this thread. It drops fields that are left in the context, and leaves none."""
    return Held(_fields, more, after=_NOTHING)
