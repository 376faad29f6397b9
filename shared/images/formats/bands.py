"""Samples of more than 8 bits in a TIFF, cut into bands of rows that a decoder of bytes unpacks one by one.

Pillow reads few kinds of such samples, and the whole picture at once. So it gets small TIFFs of 8-bit grey, whose
pixels are the bytes of the samples. Source: TIFF 6.0, sections 3, 14 and 15.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.images.formats import directory

BAND_BYTES = 1 << 22
"""Bytes of samples in one band, if the strips or tiles of the file are not larger than that."""


@dataclass(frozen=True, slots=True)
class Bands:
    """Where the samples of a picture are, and how they are stored.

    Attributes:
        size: (height, width) of the picture in pixels.
        words: numpy's type of a sample with its byte order, or `u12`: two samples in three bytes.
        channels: samples of each pixel that stand together; 1 if each channel has pieces of its own.
        mode: Pillow's mode of the picture that the channels make. Further channels are left out.
        inverted: True if the least sample is white.
        predictor: 1 none, 2 differences of samples, 3 differences of the bytes of floats.
        compression: as TIFF numbers it.
        tiled: True if the pieces are tiles, False if they are strips.
        piece_width: pixels of a piece's row.
        piece_height: rows of a piece.
        across: pieces side by side.
        offsets, sizes: of all pieces: row by row, of the first channel first if each has its own.
    """

    size: tuple[int, int]
    words: str
    channels: int
    mode: str
    inverted: bool
    predictor: int
    compression: int
    tiled: bool
    piece_width: int
    piece_height: int
    across: int
    offsets: Sequence[int]
    sizes: Sequence[int]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a piece."""
        samples = self.piece_width * self.channels
        return (samples * 3 + 1) // 2 if self.words == "u12" else samples * int(self.words[2:])

    @property
    def planes(self) -> int:
        """How many channels have pieces of their own; 1 if all channels stand together."""
        return len(self.offsets) // (self._down * self.across)

    @property
    def _down(self) -> int:
        return -(-self.size[0] // self.piece_height)

    def files(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield (plane, first row, rows, TIFF of 8-bit grey) for each band, plane by plane, from the top.

        The grey picture is `across * row_bytes` pixels wide.
        """
        view = memoryview(data)
        together = max(1, BAND_BYTES // (self.row_bytes * self.piece_height * self.across))
        for plane in range(self.planes):
            for above in range(0, self._down, together):
                down = min(together, self._down - above)
                first = above * self.piece_height
                rows = min(down * self.piece_height, self.size[0] - first)
                start = (plane * self._down + above) * self.across
                piece = slice(start, start + down * self.across)
                yield plane, first, rows, self._file(view, piece, rows)

    def _file(self, data: memoryview, piece: slice, rows: int) -> bytes:
        offsets, sizes = self.offsets[piece], self.sizes[piece]
        places, end = [], 8
        for size in sizes:
            places.append(end)
            end += size
        padding = end % 2
        tags = {
            directory.WIDTH: [self.row_bytes * self.across],
            directory.HEIGHT: [rows],
            directory.BITS: [8],
            directory.COMPRESSION: [self.compression],
            directory.PHOTOMETRIC: [1],
            directory.SAMPLES: [1],
        }
        if self.tiled:
            tags[directory.TILE_WIDTH], tags[directory.TILE_HEIGHT] = [self.row_bytes], [self.piece_height]
            tags[directory.TILES], tags[directory.TILE_SIZES] = places, list(sizes)
        else:
            tags[directory.ROWS] = [min(self.piece_height, rows)]
            tags[directory.STRIPS], tags[directory.STRIP_SIZES] = places, list(sizes)
        return b"".join(
            [
                b"II*\0" + struct.pack("<I", end + padding),
                *(data[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True)),
                bytes(padding) + directory.written("<", end + padding, tags),
            ]
        )
