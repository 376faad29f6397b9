"""`python -m encoder_worker.decoding.child`: decode images for a worker, which starts this program itself.

Its standard input is one end of a pair of sockets, see `messages`. It ends when the worker does, also in the middle of
an image. It imports what decoding needs and nothing else, and logs nothing: the worker logs what it is told.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from io import BytesIO
from math import prod
from mmap import mmap
from pathlib import Path
from typing import Any

from encoder_worker.decoding.buffers import Mappings
from encoder_worker.decoding.decoder import DecoderInProcess, Order
from encoder_worker.decoding.messages import Gone, answer, asked
from shared.contract.errors import RequestError
from shared.images.preview import preview_of
from shared.images.reading import decode_picture

_LARGE = 8_000_000
"""Pixels of a picture after which unused memory goes back to the system."""

_FIRST_TO_END = "500"
"""Of up to 1000: when memory runs out, the system is to end this process and not the worker."""


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker ends this process, when its jobs have ended
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_END)
    connection = socket.socket(fileno=os.dup(0))
    threading.Thread(target=_end_with_the_worker, args=(connection.fileno(),), daemon=True).start()
    decoder, mappings = DecoderInProcess(), Mappings()
    with suppress(Gone, BrokenPipeError, ConnectionResetError):
        while (message := asked(connection)) is not None:
            order, size, descriptor = message
            try:
                said, preview = _carried_out(decoder, order, mappings, descriptor, size)
            finally:
                os.close(descriptor)
            answer(connection, said, preview)
            if "error" in said or prod(said["original"]) >= _LARGE:
                _give_memory_back()
    return 0


def _end_with_the_worker(descriptor: int) -> None:
    """Wait until the other end of the socket is closed, and end the process: nobody wants what it does."""
    watch = select.poll()
    watch.register(descriptor, 0)  # a closed end is reported always
    watch.poll()
    os._exit(0)


def _carried_out(
    decoder: DecoderInProcess, order: Order, mappings: Mappings, descriptor: int, size: int
) -> tuple[dict[str, Any], bytes]:
    """Return the answer and the preview. The pixels are written over the image, `size` bytes in the buffer."""
    try:
        memory = mappings.of(descriptor)
        data = memory[:size]
        if order.frame is None:
            return _whole(order, data, memory)
        made = decoder.decode(data, order)
        memory[: made.pixels.nbytes] = made.pixels.data.cast("B")
    except RequestError as error:
        return {"error": error.code, "detail": error.detail, "extra": error.extra}, b""
    except MemoryError as error:
        return {"error": "memory", "detail": str(error)}, b""
    except Exception as error:  # the process goes on with the next image
        return {"error": "unexpected", "detail": type(error).__name__, "trace": traceback.format_exc()}, b""
    return {"original": made.original, "shape": made.pixels.shape, "resizing": made.resizing}, made.preview or b""


def _whole(order: Order, data: bytes, memory: mmap) -> tuple[dict[str, Any], bytes]:
    """As `_carried_out`, for the pixels of a whole picture. Pillow writes them piece by piece, which saves memory."""
    picture = decode_picture(data, max_pixels=order.max_pixels)
    width, height = picture.size
    file = _Pixels(memory, len(b"P6\n%d %d\n255\n" % picture.size))
    picture.save(file, "PPM")
    if file.end != 3 * height * width:
        raise RuntimeError("Pillow writes another kind of PPM")
    preview = preview_of(picture) if order.preview else b""
    return {"original": (height, width), "shape": (height, width, 3), "resizing": None}, preview


class _Pixels(BytesIO):
    """A file to save a picture as PPM. The pixels, which follow the header as they are, come to the start of `memory`.

    Attributes:
        end: bytes of pixels that were written.
    """

    def __init__(self, memory: mmap, header: int) -> None:
        """
        Args:
            header: bytes in front of the pixels, which are left out.
        """
        super().__init__()
        self._memory = memory
        self.end = -header

    def write(self, data: bytes) -> int:  # type: ignore[override]  # Pillow writes nothing else
        start, piece = max(0, self.end), data[max(0, -self.end) :]
        self._memory[start : start + len(piece)] = piece
        self.end += len(data)
        return len(data)


def _give_memory_back() -> None:
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    sys.exit(main())
