"""A value that a context variable has for the length of a block."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")


class Held(Generic[T]):
    """Within the block `variable` is `value`, and `after` behind it.

    It is no generator on purpose. An answer that nobody closes leaves its block open. The garbage collector would end
    a generator at any moment, and change the variable of whatever runs then; CPython 3.11 crashes if that happens
    while the variable is being set.
    """

    def __init__(self, variable: ContextVar[T], value: T, after: T) -> None:
        self._variable = variable
        self._value = value
        self._after = after

    def __enter__(self) -> None:
        self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.set(self._after)  # not by a token: a stream may be closed by another thread than began it
