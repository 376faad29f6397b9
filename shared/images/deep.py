"""Turns the samples of a TIFF that have more than 8 bits into a picture, band by band, to bound the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.images.formats.bands import BAND_BYTES, Bands
from shared.images.stretching import Range

_Block = tuple[int, int, NDArray[Any]]
"""The first channel, the first row, and (rows, width, channels) samples."""


def picture_of(bands: Bands, data: bytes, unpack: Callable[[bytes, tuple[int, int]], Image.Image]) -> Image.Image:
    """Return the picture, each channel of it stretched by itself from its least to its greatest value.

    The alpha channel keeps its high byte instead, because its least value is not always transparent.

    The samples are unpacked twice, if they are more than a few megabytes: first to find the least and the greatest, and
    again to stretch them. To keep them all would take up to 32 bytes for each pixel.

    Args:
        data: the file.
        unpack: decodes a TIFF of 8-bit grey, whose (width, height) it is given.
    """
    names = Image.getmodebands(bands.mode)
    spans = [Range() for _ in range(names)]
    height, width = bands.size
    few = height * bands.row_bytes * bands.across * bands.planes <= BAND_BYTES
    kept: Iterable[_Block] = list(_blocks(bands, data, unpack)) if few else ()
    for channel, _, samples in kept or _blocks(bands, data, unpack):
        for number in range(min(samples.shape[2], names - channel)):
            spans[channel + number].see(samples[..., number])
    result = np.empty((names, height, width), np.uint8)
    for channel, first, samples in kept or _blocks(bands, data, unpack):
        for number in range(min(samples.shape[2], names - channel)):
            one, place = samples[..., number], result[channel + number, first : first + len(samples)]
            is_alpha = bands.mode[-1] == "A" and channel + number == names - 1
            place[...] = one >> 8 if is_alpha else spans[channel + number].stretch(one)
    if bands.inverted:
        np.subtract(255, result[0], out=result[0])
    return Image.merge(bands.mode, [Image.fromarray(channel) for channel in result])


def _blocks(bands: Bands, data: bytes, unpack: Callable[[bytes, tuple[int, int]], Image.Image]) -> Iterator[_Block]:
    row = bands.row_bytes * bands.across
    at_once = max(1, BAND_BYTES // row)
    for plane, first, rows, file in bands.files(data):
        image = unpack(file, (row, rows))
        for start in range(0, rows, at_once):
            stop = min(start + at_once, rows)
            raw = np.asarray(image.crop((0, start, row, stop)))
            yield plane, first + start, _samples(bands, raw)


def _samples(bands: Bands, raw: NDArray[np.uint8]) -> NDArray[Any]:
    """Return rows of bytes as samples, (rows, width, channels)."""
    rows, width = len(raw), bands.size[1]
    if bands.words == "u12":
        numbers = _of_12_bits(raw.reshape(rows, bands.across, -1))
        return numbers[..., : bands.piece_width].reshape(rows, -1, 1)[:, :width]
    words = np.dtype(bands.words)
    if bands.predictor == 3:
        # Each row holds the highest bytes of all samples first, then the next ones, and so on, as differences.
        raw = raw.reshape(rows, bands.across, -1, bands.channels).cumsum(2, dtype=np.uint8)
        raw = raw.reshape(rows, bands.across, words.itemsize, -1).swapaxes(2, 3)
    samples = np.ascontiguousarray(raw).reshape(rows, -1).view(words)
    if bands.predictor == 2:
        number = np.dtype(f"u{words.itemsize}")
        apart = samples.view(number.newbyteorder(words.byteorder)).reshape(rows, bands.across, -1, bands.channels)
        samples = apart.astype(number).cumsum(2, dtype=number).view(words.newbyteorder("="))
    return samples.reshape(rows, -1, bands.channels)[:, :width]


def _of_12_bits(raw: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return the 12-bit numbers of rows of bytes: the high bits come first. Two numbers take three bytes."""
    odd = -raw.shape[-1] % 3
    triples = np.pad(raw, [(0, 0)] * (raw.ndim - 1) + [(0, odd)]).reshape(*raw.shape[:-1], -1, 3).astype(np.uint16)
    first = triples[..., 0] << 4 | triples[..., 1] >> 4
    second = (triples[..., 1] & 15) << 8 | triples[..., 2]
    return np.stack([first, second], axis=-1).reshape(*raw.shape[:-1], -1)
