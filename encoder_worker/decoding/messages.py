"""Messages between the worker and a process that decodes for it, over a pair of sockets.

From the worker: lengths | order (JSON), and the descriptor of memory that starts with the image's bytes. The process
writes the pixels over them. Back: lengths | answer (JSON) | preview. An image may have taken over that process, so the
answer is not trusted.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

from encoder_worker.decoding.decoder import Order
from shared.contract.frames import frame_named

_ASKED = struct.Struct("<IQ")
_ANSWERED = struct.Struct("<II")

_LONGEST_ANSWER = 1 << 20
"""Bytes of the answer without the preview. It has some hundred, or a traceback."""
_LONGEST_PREVIEW = 1 << 26


class Gone(Exception):
    """The other side is gone, or sends what it never would."""


def ask(connection: socket.socket, order: Order, size: int, descriptor: int) -> None:
    """Have an image decoded, whose `size` bytes stand in the memory of `descriptor`.

    Raises:
        OSError: the other side is gone. TimeoutError: it does not read.
    """
    said = _as_text(order)
    socket.send_fds(connection, [_ASKED.pack(len(said), size) + said], [descriptor])  # so short that all is sent


def asked(connection: socket.socket) -> tuple[Order, int, int] | None:
    """Wait for an image, and return the order, its size and the descriptor; None if the worker has ended."""
    head, descriptors, _, _ = socket.recv_fds(connection, _ASKED.size, 1)
    if not head:
        return None
    head += _exactly(connection, _ASKED.size - len(head))
    said, size = _ASKED.unpack(head)
    return _order(_exactly(connection, said)), size, descriptors[0]


def _as_text(order: Order) -> bytes:
    frame = order.frame
    kind = None if frame is None else (frame.name, frame.side)
    return json.dumps([kind, order.stretch, order.max_pixels, order.preview]).encode()


def _order(text: bytes) -> Order:
    kind, stretch, max_pixels, preview = json.loads(text)
    frame = None if kind is None else frame_named(*kind)
    return Order(frame=frame, stretch=stretch, max_pixels=max_pixels, preview=preview)


def answer(connection: socket.socket, said: dict[str, Any], preview: bytes = b"") -> None:
    text = json.dumps(said).encode()
    connection.sendall(b"".join([_ANSWERED.pack(len(text), len(preview)), text, preview]))


def answered(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Wait for the answer, and return it and the preview.

    Raises:
        Gone: the other side is gone, or sent no answer.
        TimeoutError: none came in the connection's time.
        OSError: the connection is broken.
    """
    text, preview = _ANSWERED.unpack(_exactly(connection, _ANSWERED.size))
    if text > _LONGEST_ANSWER or preview > _LONGEST_PREVIEW:
        raise Gone("the answer is too long")
    try:
        said = json.loads(_exactly(connection, text))
    except (ValueError, RecursionError) as error:
        raise Gone("the answer cannot be read") from error
    if not isinstance(said, dict):
        raise Gone("the answer cannot be read")
    return said, _exactly(connection, preview)


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = bytearray(size)
    view = memoryview(received)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise Gone("the other side is gone")
        view = view[count:]
    return bytes(received)
