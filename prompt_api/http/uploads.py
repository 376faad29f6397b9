"""Reads an uploaded image from a request. It hashes the bytes and checks the size limit while they arrive.

A request that carries an image holds one of the upload slots meanwhile, so that few images are in memory at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from prompt_api.http.services import services
from prompt_api.wire.limits import UPLOAD_FIELD
from shared.contract.errors import ImageTooLarge, InvalidImage, LengthRequired, Overloaded

CHUNK = 256 * 1024

UPLOAD_TURN = 5.0
"""Seconds that a request waits for one of the upload slots before it is refused."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Attributes:
    image_id: lower-case hex SHA-256 of `data`.
    data: the uploaded bytes, unchanged.
    """

    image_id: str
    data: bytes


@contextmanager
def upload_slot() -> Iterator[None]:
    """Hold one of the upload slots inside the block.

    Raises:
        Overloaded: none was free in time.
    """
    slots = services().uploads
    if not slots.acquire(timeout=UPLOAD_TURN):
        raise Overloaded("too many uploads at once", retry_after=2)
    try:
        yield
    finally:
        slots.release()


def read_upload(request: Request, *, max_bytes: int) -> Upload:
    """Return the image in the raw body, or in the multipart field `image`.

    Raises:
        LengthRequired: the request declares no length and is not chunked.
        ImageTooLarge: the image has more than `max_bytes`, declared or found while reading; or the form has large
            text fields.
        InvalidImage: the multipart form does not have that field.
    """
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    if request.content_length is None and not chunked:
        raise LengthRequired("send the image as the request's body, with a Content-Length")
    if request.mimetype != "multipart/form-data":
        _refuse_declared(request.content_length, max_bytes)
        return _read(request.stream, max_bytes)
    overhead = 64 * 1024  # boundaries, part headers, small other fields
    request.max_content_length = max_bytes + overhead
    _refuse_declared(request.content_length, max_bytes + overhead, limit=max_bytes)
    try:
        file = request.files.get(UPLOAD_FIELD)
    except RequestEntityTooLarge:
        raise ImageTooLarge(
            f"the form is too large: send one file field {UPLOAD_FIELD!r} of at most {max_bytes} bytes",
            max_bytes=max_bytes,
        ) from None
    if file is None:
        raise InvalidImage(f"the multipart form has no file field {UPLOAD_FIELD!r}")
    return _read(file.stream, max_bytes)


def _refuse_declared(length: int | None, most: int, *, limit: int | None = None) -> None:
    if length is not None and length > most:
        raise _too_large(most if limit is None else limit)


def _read(stream: IO[bytes], max_bytes: int) -> Upload:
    digest = hashlib.sha256()
    data = bytearray()
    while chunk := stream.read(CHUNK):
        data += chunk
        if len(data) > max_bytes:
            raise _too_large(max_bytes)
        digest.update(chunk)
    return Upload(digest.hexdigest(), bytes(data))


def _too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"the image has more than {max_bytes} bytes", max_bytes=max_bytes)
