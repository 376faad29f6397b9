"""The stored format of image embeddings: named tensors, each with its own dtype."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from shared.contract.errors import DamagedEmbedding, EncodeFailed
from shared.contract.geometry import MAX_SIDE, Size, is_image_size
from shared.contract.keys import EmbeddingKey
from shared.contract.models import TensorDtype, TensorSpec
from shared.tensors.envelope import ValueKind, seal, unseal
from shared.tensors.packing import FLOAT16_MAX, Buffer, is_storable, packed_parts, unpack, widen

Tensors = Mapping[str, NDArray[np.floating]]
"""The tensors of one image by name. The model's architecture gives the shape of each."""

_STEPS = {"int16": np.float32(32767), "int8": np.float32(127)}
"""Number of steps on each side of 0. The lowest number of the type is never written."""

_BATCH_AND_CHANNEL = 2


@dataclass(frozen=True, slots=True, eq=False)
class StoredEmbedding:
    """An embedding that was read from the store.

    Attributes:
        tensors: float32, read-only, by name.
        original: (height, width) of the EXIF-oriented image. An embedding of a region has that of the whole image.
    """

    tensors: Mapping[str, NDArray[np.float32]]
    original: Size


def encode_embedding(
    key: EmbeddingKey,
    tensors: Tensors,
    *,
    specs: Sequence[TensorSpec],
    dtypes: Mapping[str, TensorDtype],
    original: Size,
) -> bytes:
    """Encode an embedding as the value that is stored.

    Args:
        key: repeated inside the value, so that the bytes of another key cannot be taken for it.
        tensors: float32, or float16 if a GPU rounded them.
        specs: the tensors of the model. `tensors` must have exactly these.
        dtypes: how each tensor is stored, by name.
        original: (height, width) of the whole EXIF-oriented image, also for a region.

    Raises:
        EncodeFailed: names, shapes or dtypes are wrong, or numbers are not finite or outside the range of float16.
            SAM's embeddings end in a LayerNorm, so such numbers come from a faulty encoder. They must not be kept.
    """
    if tensors.keys() != {spec.name for spec in specs}:
        raise EncodeFailed(f"the encoder gave {sorted(tensors)}, not {sorted(spec.name for spec in specs)}")
    parts = [_packed(spec, tensors[spec.name], dtypes[spec.name]) for spec in specs]
    described = [
        {"name": spec.name, "dtype": dtypes[spec.name], "shape": list(spec.shape), "bytes": sum(map(len, part))}
        for spec, part in zip(specs, parts, strict=True)
    ]
    header = {**_identity(key), **_part(key), "original": list(original), "tensors": described}
    return seal(ValueKind.EMBEDDING, header, *chain.from_iterable(parts))


def decode_embedding(
    data: bytes, key: EmbeddingKey, specs: Sequence[TensorSpec], *, max_pixels: int = MAX_SIDE * MAX_SIDE
) -> StoredEmbedding:
    """Decode the embedding that `encode_embedding` stored under `key`. It takes about 1.5 ms for 2 MiB of float16.

    Args:
        max_pixels: of the largest image that this service accepts. A mask takes memory for each pixel.

    Raises:
        DamagedEmbedding: `data` is cut, changed, of another version, made for another key (another region too) or
            other tensors, or from a larger image.
    """
    original, parts = _open(data, key, specs)
    if not is_image_size(*original, max_pixels):
        raise DamagedEmbedding("the stored embedding is of an image larger than this service accepts")
    tensors: dict[str, NDArray[np.float32]] = {}
    for part in parts:
        array = _as_float32(part)
        array.flags.writeable = False
        tensors[part.spec.name] = array
    return StoredEmbedding(tensors, original)


def embedding_as_file(data: bytes, key: EmbeddingKey, specs: Sequence[TensorSpec]) -> bytes:
    """Convert the embedding stored under `key` to a numpy file in float16, for any stored dtypes.

    Returns:
        A `.npy` file if the model has one tensor. Otherwise a `.npz` file with the tensors by name. The same embedding
        always gives the same bytes.

    Raises:
        DamagedEmbedding: as in `decode_embedding`.
    """
    _, parts = _open(data, key, specs)
    arrays = {part.spec.name: _as_float16(part) for part in parts}
    file = io.BytesIO()
    if len(arrays) == 1:
        (array,) = arrays.values()
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    else:
        np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class _Part:
    """One tensor as it is stored."""

    spec: TensorSpec
    dtype: str
    payload: memoryview


def _identity(key: EmbeddingKey) -> dict[str, str]:
    return {
        "image_id": key.image_id,
        "model": key.model,
        "weights_digest": key.weights_digest,
        "preprocessing": key.preprocessing,
    }


def _part(key: EmbeddingKey) -> dict[str, str]:
    """Return what the header says of the region: nothing for the whole image."""
    return {} if key.region is None else {"region": key.region.text}


def _packed(spec: TensorSpec, tensor: NDArray[np.floating], dtype: TensorDtype) -> list[Buffer]:
    """Return the parts of one tensor as it is stored, in order."""
    if tensor.shape != spec.shape or tensor.dtype not in (np.float32, np.float16):
        raise EncodeFailed(f"{spec.name} is float32 or float16 {spec.shape}, not {tensor.dtype} {tensor.shape}")
    if not is_storable(tensor):
        raise EncodeFailed(f"{spec.name} is not finite, or outside the range of float16")
    if dtype not in _STEPS:
        return packed_parts(tensor.astype(_number(dtype), copy=False))
    steps = _STEPS[dtype]
    scale = np.abs(tensor).max(axis=_within_a_channel(spec), keepdims=True) / steps
    divisor = np.where(scale > 0, scale, np.float32(1))
    quantised = np.rint(tensor / divisor).clip(-steps, steps)
    return [scale.astype("<f4").tobytes(), *packed_parts(quantised.astype(_number(dtype)))]


def _open(data: bytes, key: EmbeddingKey, specs: Sequence[TensorSpec]) -> tuple[Size, list[_Part]]:
    """Return (original size, tensors) of a value. Its header must match `key` and `specs`."""
    header, payload = unseal(ValueKind.EMBEDDING, data)
    for name, value in _identity(key).items():
        if header.get(name) != value:
            raise DamagedEmbedding(f"the stored embedding was made for another {name}")
    if header.get("region") != _part(key).get("region"):
        raise DamagedEmbedding("the stored embedding was made for another region")
    match header:
        case {"original": [int(height), int(width)], "tensors": [*described]} if is_image_size(height, width):
            if key.region is not None and not key.region.lies_in((height, width)):
                raise DamagedEmbedding("the stored embedding is of a region outside its image")
            return (height, width), _parts(described, specs, payload)
    raise DamagedEmbedding("the stored embedding has no size, or no tensors")


def _parts(described: Sequence[Any], specs: Sequence[TensorSpec], payload: memoryview) -> list[_Part]:
    if len(described) != len(specs):
        raise DamagedEmbedding("the stored embedding has more or fewer tensors than its model")
    parts: list[_Part] = []
    start = 0
    for spec, description in zip(specs, described, strict=True):
        match description:
            case {"name": spec.name, "dtype": str(dtype), "shape": [*shape], "bytes": int(size)} if (
                tuple(shape) == spec.shape and dtype in get_args(TensorDtype) and size >= 0
            ):
                parts.append(_Part(spec, dtype, payload[start : start + size]))
                start += size
            case _:
                raise DamagedEmbedding("the stored embedding has a wrong tensor, dtype or shape for its model")
    if start != len(payload):
        raise DamagedEmbedding("the stored embedding is longer or shorter than its tensors")
    return parts


def _as_float32(part: _Part) -> NDArray[np.float32]:
    spec, dtype = part.spec, part.dtype
    if dtype == "float16":
        return widen(unpack(part.payload, _number(dtype), spec.shape))
    if dtype == "float32":
        return _finite(unpack(part.payload, _number(dtype), spec.shape))
    channels = spec.shape[1]
    scales, quantised = part.payload[: 4 * channels], part.payload[4 * channels :]
    if len(scales) < 4 * channels:
        raise DamagedEmbedding("the stored embedding has no scales")
    most = _STEPS[dtype]
    scale = _finite(np.frombuffer(scales, "<f4"), FLOAT16_MAX / most)
    steps = unpack(quantised, _number(dtype), spec.shape)
    if steps.min() < -most:
        raise DamagedEmbedding("the stored embedding has steps that are never written")
    within = len(_within_a_channel(spec)) - 1
    array: NDArray[np.float32] = np.multiply(steps, scale.reshape(-1, *[1] * within), dtype=np.float32)
    return array


def _as_float16(part: _Part) -> NDArray[np.float16]:
    if part.dtype == "float16":  # the stored numbers are returned as they are
        return _finite(unpack(part.payload, _number(part.dtype), part.spec.shape))
    return _as_float32(part).astype("<f2")


def _within_a_channel(spec: TensorSpec) -> tuple[int, ...]:
    """Return all axes except the channel axis."""
    return (0, *range(_BATCH_AND_CHANNEL, len(spec.shape)))


def _number(dtype: str) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")


def _finite(array: NDArray[Any], most: np.float32 = FLOAT16_MAX) -> NDArray[Any]:
    """Return `array` if `encode_embedding` could have stored each of its numbers."""
    if not np.abs(array).max() <= most:
        raise DamagedEmbedding("the stored embedding is not finite")
    return array
