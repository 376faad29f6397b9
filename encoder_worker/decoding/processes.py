"""A decoder that works in processes of its own, so that images are decoded on all cores at once.

Threads of one process get in each other's way at this: each decoder takes the interpreter's lock for every block of
bytes, and so does the thread that feeds the encoder. See docs/performance.md for what was measured.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoder_worker.decoding.buffers import Buffer, Buffers
from encoder_worker.decoding.decoder import MOST_AT_ONCE, Decoded, Order
from encoder_worker.decoding.messages import Gone, answered, ask
from shared.contract.errors import EncodeFailed, ImageTooLarge, InvalidImage, RequestError, UnsupportedImage
from shared.contract.settings import Settings
from shared.host.cores import usable_cores
from shared.images.reading import inspect_image
from shared.rq_worker.watchdog import JobTimedOut

PROGRAM = "encoder_worker.decoding.child"
"""What each process runs. Tests run another one."""

_ROOT = Path(__file__).resolve().parents[2]

_REFUSALS: dict[str, type[RequestError]] = {one.code: one for one in (ImageTooLarge, InvalidImage, UnsupportedImage)}
"""What a process may say of an image, by its code."""

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 26),
    "OPENBLAS_NUM_THREADS": "1",
}
"""For glibc: the memory of ordinary pictures is used again for the next, instead of being got anew from the system page
by page. That is a fifth of the work. A process gives up what a large picture took, see `child`."""

LOADED_AHEAD = 2
"""Images that are loaded while all processes decode."""

_SMALL = 1 << 20
"""Bytes of a whole picture that is copied. The worker may keep many of those, and shared memory takes descriptors."""

_ENDING = 5.0
"""Seconds that a process may take to end after it was killed."""

Death = Literal["killed", "crashed", "too_slow"]
"""Why a process was replaced: by SIGKILL, as the system does when memory runs out; it ended with another status; or it
gave no answer in time."""

_log = logging.getLogger(__name__)


def processes_for(settings: Settings) -> int:
    """Return how many processes decode for a worker."""
    return settings.worker_decoders or min(MOST_AT_ONCE, usable_cores())


class DecodingProcesses:
    """A `Decoder` with a fixed number of processes. Close it when done.

    A process that dies costs the image that it decoded this attempt, and nothing else: the next image gets a new one.
    """

    def __init__(self, count: int, *, patience: float, on_death: Callable[[Death], object] = lambda _: None) -> None:
        """
        Args:
            count: of processes, each of which decodes one image at a time.
            patience: seconds that one image may take.
            on_death: called for each process that must be replaced, by the thread that has noticed it.
        """
        self._count = count
        self._patience = patience
        self._on_death = on_death
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        self._all: set[_Process] = set()
        self._closed = threading.Event()
        for _ in range(count):
            self._idle.put(self._started())

    def close(self) -> None:
        """End all processes. What they decode fails."""
        self._closed.set()
        for process in list(self._all):
            process.kill()
        with suppress(queue.Empty):
            for idle in [self._idle.get(timeout=_ENDING) for _ in range(self._count)]:
                self._end(idle)
        for _ in range(self._count):  # who asks later is refused, and does not wait
            self._idle.put(None)

    @property
    def at_once(self) -> int:
        """More than there are processes: while these decode, others load the next images."""
        return self._count + LOADED_AHEAD

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [process.pid for process in list(self._all) if process.alive]

    def decode(self, data: bytes, order: Order) -> Decoded:
        """See `Decoder.decode`. It waits for a process that is idle."""
        size = _pixels_bytes(data, order)
        process = self._idle.get()
        try:
            if process is None or not process.alive:
                if process is not None:
                    process.died()
                self._end(process)
                process = self._started()
            buffers = process.buffers
            buffer = process.loaded(data, size)
            try:
                said, preview = process.ask(order, len(data), buffer.descriptor, self._patience)
            except BaseException:
                self._end(process)
                process = None
                raise
        finally:
            self._idle.put(process)
        if "error" in said:
            buffers.give_back(buffer)
            raise _error(said)
        return _decoded(order, said, preview, buffers.lent_array(buffer, size))

    def _started(self) -> _Process:
        if self._closed.is_set():
            raise EncodeFailed("the worker ends")
        process = _Process()
        self._all.add(process)
        if self._closed.is_set():  # meanwhile
            process.kill()
        return process

    def _end(self, process: _Process | None) -> None:
        if process is not None:
            process.end()
            self._all.discard(process)
            if process.death is not None and not self._closed.is_set():
                self._on_death(process.death)


class _Process:
    """One process, which decodes one image at a time.

    Attributes:
        death: why it must be replaced, once that is known.
    """

    death: Death | None = None

    def __init__(self) -> None:
        self.buffers = Buffers()  # its own, so that a process that an image has taken over reaches no other's images
        ours, theirs = socket.socketpair()
        with theirs:
            self._connection = ours
            path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603  # a program of this package
                [sys.executable, "-m", PROGRAM],
                stdin=theirs.fileno(),
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def loaded(self, data: bytes, size: int) -> Buffer:
        """Return a buffer that starts with `data`, and has room for `size` bytes of pixels in its place.

        Raises:
            MemoryError: the system gives no more memory.
        """
        try:
            buffer = self.buffers.lend(max(len(data), size))
        except OSError as error:
            raise MemoryError("there is too little memory for the pixels of this image") from error
        buffer.write(data)
        return buffer

    def ask(self, order: Order, size: int, descriptor: int, patience: float) -> tuple[dict[str, Any], bytes]:
        """Have the image of `size` bytes decoded that stands in the memory of `descriptor`.

        After an error the process is of no use any more.

        Raises:
            EncodeFailed: the process died, or took too long.
            MemoryError: it was killed, as the system does when memory runs out.
        """
        self._connection.settimeout(patience)
        try:
            ask(self._connection, order, size, descriptor)
            return answered(self._connection)
        except JobTimedOut:
            self.death = "too_slow"
            raise
        except TimeoutError as error:
            self.death = "too_slow"
            raise EncodeFailed(f"the image could not be decoded within {patience:g} s") from error
        except (Gone, OSError) as error:
            raise self.died() from error

    def kill(self) -> None:
        """Kill the process. The thread that waits for its answer notices this."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process, if it still runs, and wait for its end. No thread may wait for its answer."""
        self.kill()
        self._wait()
        self._connection.close()
        self.buffers.close()

    def _wait(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING)

    def died(self) -> Exception:
        """Note why the process has ended, and return the error of the image that it decoded, if it decoded one."""
        self._wait()
        status = self._process.returncode
        _log.warning("the process %d, which decoded images, has ended with status %s", self.pid, status)
        self.death = "killed" if status == -signal.SIGKILL else "crashed"
        if self.death == "killed":
            return MemoryError("the process that decoded this image was killed, as happens when memory runs out")
        return EncodeFailed("the process that decoded this image died")


def _pixels_bytes(data: bytes, order: Order) -> int:
    """Return the most bytes that the ordered pixels of an image can have."""
    if order.frame is None:
        return 3 * prod(inspect_image(data, max_pixels=order.max_pixels).original)
    return 3 * order.frame.side**2 * order.frame.pixels.itemsize


def _decoded(order: Order, said: dict[str, Any], preview: bytes, lent: NDArray[np.uint8]) -> Decoded:
    """Return what a process has written into `lent`, (size,) uint8, if it is what was ordered."""
    frame = order.frame
    pixels = np.dtype(np.uint8) if frame is None else frame.pixels
    match said:
        case {"original": [int(height), int(width)], "shape": [int(rows), int(columns), 3], "resizing": spent}:
            original = (height, width)
            expected = original if frame is None else frame.inside(original)
            size = 3 * rows * columns * pixels.itemsize
            told = spent is None if frame is None else isinstance(spent, float)
            if told and (rows, columns) == expected and size <= lent.size:
                image = lent[:size].view(pixels).reshape(rows, columns, 3)
                image = image.copy() if frame is None and size <= _SMALL else image
                image.flags.writeable = frame is not None
                return Decoded(pixels=image, original=original, preview=preview or None, resizing=spent)
    raise EncodeFailed("the process that decoded this image gave no picture")


def _error(said: dict[str, Any]) -> Exception:
    code, detail = str(said["error"]), str(said.get("detail", ""))
    if code in _REFUSALS:
        extra = said.get("extra")
        return _REFUSALS[code](detail, **extra if isinstance(extra, dict) else {})
    if code == "memory":
        return MemoryError(detail)
    _log.error("an image could not be decoded: %s", said.get("trace", detail))
    return EncodeFailed(f"the image could not be decoded ({detail.partition(':')[0]})")
