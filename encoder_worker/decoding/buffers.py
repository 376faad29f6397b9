"""Memory that this process shares with those that decode for it."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import weakref

import numpy as np
from numpy.typing import NDArray


class Buffer:
    """Memory that two processes see: one through `descriptor`, this one through `array` too.

    It belongs to no file system, so the size of `/dev/shm` is no limit. The system frees it when no process has it any
    more, however they end.

    Attributes:
        size: in bytes.
        descriptor: of the memory, for `os.pwrite` in the process that gets it.
    """

    def __init__(self, size: int) -> None:
        """
        Raises:
            OSError: the system gives no more.
        """
        self.size = size
        self.descriptor = _descriptor()
        try:
            os.ftruncate(self.descriptor, size)
            self._memory = mmap.mmap(self.descriptor, size)
        except BaseException:
            os.close(self.descriptor)
            raise
        weakref.finalize(self, os.close, self.descriptor)

    def array(self) -> NDArray[np.uint8]:
        """Return all bytes, (size,) uint8. The memory stays as long as the array does."""
        return np.frombuffer(self._memory, np.uint8)


class Buffers:
    """Buffers of any size. Those of one size that come back are lent again, which saves the time to get fresh memory.

    Thread-safe. At most `kept` buffers are kept; others are freed when they come back.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._back: list[Buffer] = []

    def lend(self, size: int) -> Buffer:
        """Return a buffer of `size` bytes. What is in it is left from before.

        Raises:
            OSError: the system gives no more memory.
        """
        with self._lock:
            for number, buffer in enumerate(self._back):
                if buffer.size == size:
                    return self._back.pop(number)
        return Buffer(size)

    def lent_array(self, buffer: Buffer, *, again: bool) -> NDArray[np.uint8]:
        """Return all bytes of a buffer, (size,) uint8.

        Args:
            again: whether the buffer comes back when the array, and all arrays made of it, are gone.
        """
        array = buffer.array()
        if again:
            weakref.finalize(array, self.give_back, buffer)
        return array

    def give_back(self, buffer: Buffer) -> None:
        """Nobody uses the buffer any more."""
        with self._lock:
            if len(self._back) < self._kept:
                self._back.append(buffer)


def _descriptor() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("picture")
    with tempfile.TemporaryFile() as file:  # not on Linux: a file without a name
        return os.dup(file.fileno())
