"""Reads tensors from a `.safetensors` file into numpy. The format holds no code, so both services may read it.

A file is the length of a JSON header (8 bytes, little-endian), the header, and the raw bytes of all tensors. The header
gives each tensor's dtype, shape and place. Source: the format's description in the safetensors package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from shared.contract.errors import WeightsError

_LARGEST_HEADER = 100_000_000
"""Bytes. The safetensors package has the same limit."""

_METADATA = "__metadata__"
_BFLOAT16 = "BF16"
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    _BFLOAT16: "<u2",  # the upper half of a float32
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
_TABLE = 8
"""Bytes in front of the header."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor is.

    Attributes:
        kind: its dtype, as the format calls it.
        start, end: its first byte, and the byte after its last one, counted from the start of the file.
    """

    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


def tensor_names(path: Path) -> list[str]:
    """Return the names of all tensors in the file.

    Raises:
        WeightsError: the file cannot be read, or is damaged.
    """
    with _opened(path) as (_, places):
        return list(places)


def read_tensors(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, NDArray[Any]]:
    """Read tensors into memory.

    Args:
        wanted: returns whether the tensor of that name is read.

    Returns:
        Arrays by name. bfloat16 becomes float32, without loss. Every other number keeps its type.

    Raises:
        WeightsError: the file cannot be read, or is damaged.
    """
    with _opened(path) as (file, places):
        return {name: _read(file, path, name, place) for name, place in places.items() if wanted(name)}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Mapping[str, _Place]]]:
    """Give the open file and the places of its tensors."""
    try:
        with path.open("rb") as file:
            yield file, _places(file, path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error


def _places(file: BinaryIO, path: Path) -> Mapping[str, _Place]:
    size = path.stat().st_size
    length = int.from_bytes(file.read(_TABLE), "little")
    if not 2 <= length <= min(_LARGEST_HEADER, size - _TABLE):
        raise _damaged(path, "its header has an impossible length")
    try:
        header = json.loads(file.read(length))
        described = {name: about for name, about in header.items() if name != _METADATA}
        places = {name: _place(about, _TABLE + length) for name, about in described.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, "its header cannot be read") from error
    expected = _TABLE + length
    for name, place in sorted(places.items(), key=lambda item: item[1].start):
        if place.start != expected or place.end - place.start != _bytes(place):
            raise _damaged(path, f"{name} is not where its header says")
        expected = place.end
    if expected != size:
        raise _damaged(path, f"it has {size} bytes, and its header describes {expected}")
    return places


def _place(about: Mapping[str, Any], offset: int) -> _Place:
    start, end = about["data_offsets"]
    shape = tuple(about["shape"])
    if about["dtype"] not in _DTYPES or any(type(number) is not int or number < 0 for number in (start, end, *shape)):
        raise ValueError("a tensor of an unknown kind")
    return _Place(about["dtype"], shape, offset + start, offset + end)


def _bytes(place: _Place) -> int:
    return np.dtype(_DTYPES[place.kind]).itemsize * math.prod(place.shape)


def _read(file: BinaryIO, path: Path, name: str, place: _Place) -> NDArray[Any]:
    file.seek(place.start)
    data = file.read(place.end - place.start)
    if len(data) != place.end - place.start:
        raise _damaged(path, f"{name} is cut")
    array = np.frombuffer(data, _DTYPES[place.kind]).reshape(place.shape)
    if place.kind == _BFLOAT16:
        array = (array.astype("<u4") << 16).view("<f4")
    native: NDArray[Any] = np.array(array, dtype=array.dtype.newbyteorder("="))  # of its own memory, and writeable
    return native


def _damaged(path: Path, why: str) -> WeightsError:
    return WeightsError(f"{path} is no safetensors file, or is damaged: {why}")
