"""What is asked of a decoder and what it answers, and the decoder that works in the caller's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encoder_worker.decoding.stretch import stretched
from shared.contract.frames import Frame
from shared.contract.geometry import Size
from shared.host.cores import usable_cores
from shared.images.preview import preview_of
from shared.images.reading import decode_picture

MOST_AT_ONCE = 16
"""Images that are decoded at once by default, however many cores there are. No encoder takes more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made of an image.

    Attributes:
        frame: of the model, into which the image is resized. None: the pixels of the whole picture are wanted.
        stretch: whether each channel is stretched before, see `stretched`. Only with a `frame`.
        max_pixels: of the largest image that is decoded.
        preview: whether a preview is wanted too.
    """

    frame: Frame | None
    stretch: bool = False
    max_pixels: int
    preview: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """What was made of an image.

    Attributes:
        pixels: (h, w, 3). With a frame: of its dtype, with (h, w) = `frame.inside(original)`. Otherwise uint8 and
            read-only, with (h, w) = `original`.
        original: (height, width) of the whole upright picture.
        preview: a JPEG, if one was wanted.
        resizing: seconds of the clock that stretching and resizing took; None for a whole picture.
    """

    pixels: NDArray[Any]
    original: Size
    preview: bytes | None
    resizing: float | None


class Decoder(Protocol):
    """Decodes images. Any thread may use it."""

    @property
    def at_once(self) -> int:
        """How many threads are best to use it at the same time."""
        ...

    def decode(self, data: bytes, order: Order) -> Decoded:
        """Decode an uploaded file, and resize the picture if the order says so.

        Raises:
            UnsupportedImage, InvalidImage, ImageTooLarge: as `shared.images.reading.decode_image`.
            EncodeFailed: the process that decoded the image died, or took too long.
            MemoryError: there is too little memory for the image.
        """
        ...


class DecoderInProcess:
    """A `Decoder` that works in the caller's thread."""

    @property
    def at_once(self) -> int:
        return min(MOST_AT_ONCE, usable_cores() + 1)

    def decode(self, data: bytes, order: Order) -> Decoded:
        picture = decode_picture(data, max_pixels=order.max_pixels)
        original = (picture.height, picture.width)
        preview = preview_of(picture) if order.preview else None
        if order.frame is None:
            whole: NDArray[np.uint8] = np.asarray(picture)
            whole.flags.writeable = False
            return Decoded(pixels=whole, original=original, preview=preview, resizing=None)
        began = time.perf_counter()
        pixels = order.frame.resize(stretched(np.asarray(picture)) if order.stretch else picture)
        return Decoded(pixels=pixels, original=original, preview=preview, resizing=time.perf_counter() - began)
