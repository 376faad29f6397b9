"""What every line of log says beside its message, while one request or one job is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

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


@contextmanager
def scope(**more: object) -> Iterator[None]:
    """Lines that are logged within the block have these fields, beside those they had."""
    before = _fields.get()
    _fields.set({**before, **more})
    try:
        yield
    finally:
        _fields.set(before)  # not by a token: a stream may be closed by another thread than began it


@contextmanager
def fresh(**more: object) -> Iterator[None]:
    """`scope` of something that begins in this thread: whatever was left in the context does not
    belong to it, and nothing is left."""
    _fields.set(more)
    try:
        yield
    finally:
        _fields.set(_NOTHING)
