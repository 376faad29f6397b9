"""What every line of log says beside its message, while one request or one job is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType

from shared.observe.held import Held

_NOTHING: Mapping[str, object] = MappingProxyType({})

_fields: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default=_NOTHING)


def fields() -> Mapping[str, object]:
    """The fields of the present context, such as `request_id`, `image_id`, `model`."""
    return _fields.get()


def add(**more: object) -> None:
    """Add fields until the present `scope` ends, in place of earlier ones of the same name. Outside of one, do nothing.

    So what a request turns out to be about can be said where it turns out.
    """
    present = _fields.get()
    if present:
        _fields.set({**present, **more})


def scope(**more: object) -> AbstractContextManager[None]:
    """Lines that are logged within the block have these fields, beside those they had."""
    before = _fields.get()
    return Held(_fields, {**before, **more}, after=before)


def fresh(**more: object) -> AbstractContextManager[None]:
    """`scope` of something that begins in this thread. Fields that were left in the context do not belong to it, and
    it leaves none."""
    return Held(_fields, more, after=_NOTHING)
