"""Image embeddings and low-res logits as the bytes that are stored."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared.contract.errors import DamagedEmbedding, EncodeFailed, InvalidPrompt
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey
from shared.contract.models import LOW_RES_SIZE
from shared.tensors.envelope import ValueKind, seal, unseal
from shared.tensors.packing import FLOAT16_MAX, pack, unpack, widen

EmbeddingDtype = Literal["int16", "float16", "float32", "int8"]

SHAPE = (1, 256, 64, 64)
"""(B, C, H, W) of an image embedding."""

_SCALES_BYTES = 4 * SHAPE[1]
"""float32 scales before a payload of integers, one per channel."""

_STEPS = {"int16": np.float32(32767), "int8": np.float32(127)}
"""Steps on each side of 0; the lowest number is left out."""

_MOST_MASKS = 4
"""Masks that SAM's decoder has for one prompt."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredEmbedding:
    """An embedding out of the store.

    Attributes:
        array: (1, 256, 64, 64) float32, read-only.
        original: (height, width) of the EXIF-oriented image it was made from.
    """

    array: NDArray[np.float32]
    original: Size


def encode_embedding(
    key: EmbeddingKey, embedding: NDArray[np.floating], *, dtype: EmbeddingDtype, original: Size
) -> bytes:
    """The stored value of an embedding.

    Args:
        key: repeated inside the value, so that no other key's bytes can pass for it.
        embedding: (1, 256, 64, 64) float32, or float16 as a GPU may round it.
        dtype: integers are symmetric per channel, x = q * max|channel| / 127 (or 32767), with float32 scales. `int16`
            takes as many bytes as `float16` and is eight times as precise, as a channel's numbers are of one size.
        original: (height, width) of the EXIF-oriented image.

    Raises:
        EncodeFailed: another shape, not finite, or outside the range of float16: SAM's embeddings end in a
            LayerNorm, so numbers that large come from an encoder that went wrong, and are not to be kept.
    """
    if embedding.shape != SHAPE or embedding.dtype not in (np.float32, np.float16):
        raise EncodeFailed(f"an embedding is float32 or float16 {SHAPE}, not {embedding.dtype} {embedding.shape}")
    if not np.abs(embedding).max() <= FLOAT16_MAX:
        raise EncodeFailed("the embedding is not finite, or outside the range of float16")
    scales = b""
    stored: NDArray[Any]
    if dtype in _STEPS:
        steps = _STEPS[dtype]
        scale = np.abs(embedding).max(axis=(0, 2, 3)) / steps
        scales = scale.astype("<f4").tobytes()
        divisor = np.where(scale > 0, scale, np.float32(1))
        stored = np.rint(embedding / divisor[:, None, None]).clip(-steps, steps)
    else:
        stored = embedding
    header = {**_identity(key), "dtype": dtype, "shape": list(SHAPE), "original": list(original)}
    return seal(ValueKind.EMBEDDING, header, scales + pack(stored.astype(_number(dtype))))


def decode_embedding(data: bytes, key: EmbeddingKey) -> StoredEmbedding:
    """The embedding that `encode_embedding` stored under `key`; about 1.5 ms for float16.

    Raises:
        DamagedEmbedding: cut, changed anywhere, of another version, or made for another key.
    """
    dtype, original, payload = _open_embedding(data, key)
    array = _as_float32(payload, dtype)
    array.flags.writeable = False
    return StoredEmbedding(array, original)


def embedding_as_npy(data: bytes, key: EmbeddingKey) -> bytes:
    """The embedding stored under `key` as a `.npy` file: float16, (1, 256, 64, 64), whatever its stored dtype.

    Raises:
        DamagedEmbedding: as `decode_embedding`.
    """
    dtype, _, payload = _open_embedding(data, key)
    if dtype == "float16":  # its bytes are the answer already
        array = _finite(unpack(payload, _number(dtype), SHAPE))
    else:
        array = _as_float32(payload, dtype).astype("<f2")
    npy = io.BytesIO()
    np.lib.format.write_array(npy, array, version=(1, 0), allow_pickle=False)
    return npy.getvalue()


def encode_logits(image_id: str, model: str, weights_digest: str, logits: NDArray[np.float32]) -> bytes:
    """The stored value of one answer's low-res logits, as float16.

    Args:
        logits: (K, 256, 256) float32. Values beyond float16's range become its largest: as a mask prompt they mean
            the same.

    Raises:
        EncodeFailed: another shape, or NaN.
    """
    shape = logits.shape
    if shape[1:] != (LOW_RES_SIZE, LOW_RES_SIZE) or not 0 < shape[0] <= _MOST_MASKS or np.isnan(logits).any():
        raise EncodeFailed(f"low-res logits are numbers, (K, {LOW_RES_SIZE}, {LOW_RES_SIZE}), not {shape}")
    header = {"image_id": image_id, "model": model, "weights_digest": weights_digest, "shape": list(logits.shape)}
    return seal(ValueKind.LOGITS, header, pack(np.clip(logits, -FLOAT16_MAX, FLOAT16_MAX).astype("<f2")))


def decode_logits(data: bytes, *, image_id: str, model: str, weights_digest: str) -> NDArray[np.float32]:
    """The low-res logits of an answer on this image by this model.

    Returns:
        (K, 256, 256) float32, read-only.

    Raises:
        InvalidPrompt: they are another image's, another model's or other weights'.
        DamagedEmbedding: cut or changed anywhere.
    """
    header, payload = unseal(ValueKind.LOGITS, data)
    asked = {"image_id": image_id, "model": model, "weights_digest": weights_digest}
    for name, value in asked.items():
        if header.get(name) != value:
            raise InvalidPrompt(f"the mask_token belongs to another {'image' if name == 'image_id' else 'model'}")
    match header.get("shape"):
        case [int(count), int(height), int(width)] if height == width == LOW_RES_SIZE and 0 < count <= _MOST_MASKS:
            logits = widen(unpack(payload, np.dtype("<f2"), (count, height, width)))
        case _:
            raise DamagedEmbedding("the stored logits have no shape")
    logits.flags.writeable = False
    return logits


def _identity(key: EmbeddingKey) -> dict[str, str]:
    return {
        "image_id": key.image_id,
        "model": key.model,
        "weights_digest": key.weights_digest,
        "preprocessing": key.preprocessing,
    }


def _open_embedding(data: bytes, key: EmbeddingKey) -> tuple[str, Size, memoryview]:
    """(dtype, original size, payload) of a value whose header agrees with `key`."""
    header, payload = unseal(ValueKind.EMBEDDING, data)
    for name, value in _identity(key).items():
        if header.get(name) != value:
            raise DamagedEmbedding(f"the stored embedding was made for another {name}")
    match header:
        case {
            "dtype": "int16" | "float16" | "float32" | "int8" as dtype,
            "shape": [*shape],
            "original": [int(height), int(width)],
        } if tuple(shape) == SHAPE and height > 0 and width > 0:
            return dtype, (height, width), payload
    raise DamagedEmbedding("the stored embedding has a dtype, shape or size that does not exist")


def _as_float32(payload: memoryview, dtype: str) -> NDArray[np.float32]:
    if dtype == "float16":
        return widen(unpack(payload, _number(dtype), SHAPE))
    if dtype == "float32":
        return _finite(unpack(payload, _number(dtype), SHAPE))
    scales, quantised = payload[:_SCALES_BYTES], payload[_SCALES_BYTES:]
    if len(scales) < _SCALES_BYTES:
        raise DamagedEmbedding("the stored embedding has no scales")
    most = _STEPS[dtype]
    scale = _finite(np.frombuffer(scales, "<f4"), FLOAT16_MAX / most)
    steps = unpack(quantised, _number(dtype), SHAPE)
    if steps.min() < -most:
        raise DamagedEmbedding("the stored embedding has steps that are never written")
    array: NDArray[np.float32] = np.multiply(steps, scale.reshape(-1, 1, 1), dtype=np.float32)
    return array


def _number(dtype: str) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")


def _finite(array: NDArray[Any], most: np.float32 = FLOAT16_MAX) -> NDArray[Any]:
    """`array`, whose every number is one that `encode_embedding` lets through."""
    if not np.abs(array).max() <= most:
        raise DamagedEmbedding("the stored embedding is not finite")
    return array
