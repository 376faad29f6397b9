"""Sets a context variable for the length of a block."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")


class Held(Generic[T]):
    """Sets `variable` to `value` inside the block, and to `after` when the block ends.

    This is deliberately not a generator. A response that nobody closes leaves its block open. The garbage collector
    could end a generator at any moment and so change the variable for unrelated code. CPython 3.11 crashes if that
    happens while the variable is being set.
    """

    def __init__(self, variable: ContextVar[T], value: T, after: T) -> None:
        self._variable = variable
        self._value = value
        self._after = after

    def __enter__(self) -> None:
        self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.set(self._after)  # no reset by token: another thread may close a stream
