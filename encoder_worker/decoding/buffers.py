"""Memory that a worker shares with a process that decodes for it."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES = 48 << 20
"""Bytes that are kept for the next images, for each process: four frames of SAM 2, or one picture of 16 megapixels."""

_MOST_KEPT = 8
"""Buffers that are kept, for each process. Each one takes two descriptors."""

_LEAST = 1 << 20
"""Bytes of the smallest buffer. The system gives memory only for what is written."""

_MAPPED = 32
"""Buffers that stay mapped in the process that decodes."""


class Buffer:
    """Memory that two processes see: one through `descriptor`, this one through its methods.

    It belongs to no file system, so the size of `/dev/shm` is no limit. It is freed when this process has no array of
    it and nobody here knows the buffer, also while the other process still maps it; or when both processes end.

    Attributes:
        size: in bytes, a multiple of the page size.
        descriptor: of the memory. Where the system can, nobody is able to change its size any more: if the other
            process made it smaller, reading the array would end this process.
    """

    def __init__(self, size: int) -> None:
        """
        Args:
            size: in bytes, as `stepped` gives it.

        Raises:
            OSError: the system gives no more.
        """
        self.size = size
        self.descriptor = _descriptor(size)
        try:
            self._memory = mmap.mmap(self.descriptor, size)
        except BaseException:
            os.close(self.descriptor)
            raise
        weakref.finalize(self, _free, self._memory, self.descriptor).atexit = False  # some threads may still read it

    def write(self, data: bytes) -> None:
        """Put `data` at the start."""
        self._memory[: len(data)] = data

    def keep_only(self, size: int) -> None:
        """Give the memory behind `size`, as `stepped` gives it, back to the system. Later it can be written again."""
        if size < self.size:
            _give_back(self._memory, size)

    def array(self) -> NDArray[np.uint8]:
        """Return all bytes, (size,) uint8. Whoever has the array keeps the buffer too."""
        return np.frombuffer(self._memory, np.uint8)


class Buffers:
    """The buffers of one process that decodes. What comes back is lent again: fresh memory costs as much as decoding.

    Thread-safe. At most `kept` bytes are kept. Beyond that, those that came back first are freed.
    """

    def __init__(self, kept: int = KEPT_BYTES) -> None:
        self._kept = kept
        self._back: list[Buffer] = []
        self._lock = threading.RLock()  # the garbage collector may call `give_back` in the middle of the lines below

    def lend(self, size: int) -> Buffer:
        """Return a buffer of at least `size` bytes, and of not much more than twice. What is in it is left from before.

        Raises:
            OSError: the system gives no more memory.
        """
        new = stepped(size)
        with self._lock:
            best: Buffer | None = None
            for buffer in self._back:
                if size <= buffer.size <= 2 * new and (best is None or buffer.size <= best.size):
                    best = buffer
            if best is not None:
                with suppress(ValueError):  # it was dropped meanwhile
                    self._back.remove(best)
                    return best
        return Buffer(new)

    def lent_array(self, buffer: Buffer, size: int) -> NDArray[np.uint8]:
        """Return the first `size` bytes of a buffer, (size,) uint8.

        The memory behind them is freed, if the buffer is larger than one made for them. The buffer comes back when the
        array, and all arrays made of it, are gone.
        """
        buffer.keep_only(stepped(size))
        array = buffer.array()
        weakref.finalize(array, self.give_back, buffer).atexit = False
        return array[:size]

    def give_back(self, buffer: Buffer) -> None:
        """Nobody uses the buffer any more."""
        with self._lock:
            if buffer.size <= self._kept:
                self._back.append(buffer)
            while len(self._back) > _MOST_KEPT or sum(one.size for one in self._back) > self._kept:
                del self._back[0]

    def close(self) -> None:
        """Free all buffers, now or when they come back."""
        with self._lock:
            self._kept = 0
            self._back.clear()


class Mappings:
    """The memory of buffers in the process that decodes. It stays mapped for the next image, which saves time too."""

    def __init__(self) -> None:
        self._mapped: OrderedDict[tuple[int, int], mmap.mmap] = OrderedDict()

    def of(self, descriptor: int) -> mmap.mmap:
        """Return the memory of a buffer.

        Raises:
            MemoryError: the system cannot map it.
        """
        found = os.fstat(descriptor)
        key = (found.st_dev, found.st_ino)  # nothing else gets this number while the memory is mapped
        if key not in self._mapped:
            try:
                self._mapped[key] = mmap.mmap(descriptor, found.st_size)
            except OSError as error:
                raise MemoryError("there is too little memory for the pixels of this image") from error
        self._mapped.move_to_end(key)
        if len(self._mapped) > _MAPPED:
            self._mapped.popitem(last=False)
        return self._mapped[key]


def stepped(size: int) -> int:
    """Return the bytes of a buffer for `size` bytes. There are eight sizes from one power of two to the next."""
    step = 1 << (max(size, _LEAST).bit_length() - 4)
    return -(-max(size, _LEAST) // step) * step


def _descriptor(size: int) -> int:
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:  # not on Linux: a file without a name
            file.truncate(size)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _free(memory: mmap.mmap, descriptor: int) -> None:
    _give_back(memory, 0)
    os.close(descriptor)


def _give_back(memory: mmap.mmap, start: int) -> None:
    """Free the memory from `start` on, in all processes that map it. It reads as zeros afterwards."""
    with suppress(OSError, AttributeError):  # only Linux can; elsewhere it is freed when the other process unmaps it
        memory.madvise(mmap.MADV_REMOVE, start)
