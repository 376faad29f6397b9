"""The stored format of the low-res logits of an answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.contract.errors import DamagedEmbedding, EncodeFailed, InvalidPrompt
from shared.contract.keys import EmbeddingKey
from shared.tensors.envelope import ValueKind, seal, unseal
from shared.tensors.packing import FLOAT16_MAX, pack, unpack, widen

_MOST_MASKS = 4
"""Most masks that SAM's decoder returns for one prompt."""


def encode_logits(key: EmbeddingKey, logits: NDArray[np.float32]) -> bytes:
    """Encode the low-res logits of one answer as the value that is stored, in float16.

    Args:
        key: key of the embedding that was prompted.
        logits: (K, S, S) float32. Values beyond float16's range are clipped to it. As a mask prompt they mean the
            same.

    Raises:
        EncodeFailed: the logits have another shape or contain NaN.
    """
    shape = logits.shape
    if len(shape) != 3 or shape[1] != shape[2] or not 0 < shape[0] <= _MOST_MASKS or np.isnan(logits).any():
        raise EncodeFailed(f"low-res logits are numbers, (K, S, S), not {shape}")
    header = {**_identity(key), **_part(key), "shape": list(shape)}
    return seal(ValueKind.LOGITS, header, pack(np.clip(logits, -FLOAT16_MAX, FLOAT16_MAX).astype("<f2")))


def decode_logits(data: bytes, key: EmbeddingKey, *, side: int) -> NDArray[np.float32]:
    """Decode the low-res logits of an answer from the embedding that `key` names.

    Args:
        side: S, as the model's architecture gives it.

    Returns:
        (K, S, S) float32, read-only.

    Raises:
        InvalidPrompt: the logits belong to another image, another region, another model or other weights.
        DamagedEmbedding: `data` is cut or changed.
    """
    header, payload = unseal(ValueKind.LOGITS, data)
    for name, value in _identity(key).items():
        if header.get(name) != value:
            raise InvalidPrompt(f"the mask_token belongs to another {'image' if name == 'image_id' else 'model'}")
    if header.get("region") != _part(key).get("region"):
        raise InvalidPrompt("the mask_token belongs to another region")
    match header.get("shape"):
        case [int(count), int(height), int(width)] if height == width == side and 0 < count <= _MOST_MASKS:
            logits = widen(unpack(payload, np.dtype("<f2"), (count, height, width)))
        case _:
            raise DamagedEmbedding("the stored logits have no shape")
    logits.flags.writeable = False
    return logits


def _identity(key: EmbeddingKey) -> dict[str, str]:
    return {"image_id": key.image_id, "model": key.model, "weights_digest": key.weights_digest}


def _part(key: EmbeddingKey) -> dict[str, str]:
    """Return what the header says of the region: nothing for the whole image."""
    return {} if key.region is None else {"region": key.region.text}
