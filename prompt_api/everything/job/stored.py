"""The masks of a job as bytes under a key: all of them, or those found so far.

The envelope (see `shared.tensors.envelope`) repeats the job's name. Its payload is the JSON of the masks, deflated.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from prompt_api.everything.interface import MaskRecord
from prompt_api.everything.job.key import EverythingKey
from shared.contract.errors import DamagedEmbedding, EverythingFailed
from shared.contract.geometry import Size, is_image_size
from shared.tensors.envelope import ValueKind, seal, unseal

LARGEST = 64 * 1024 * 1024
"""Most bytes of the JSON of all masks of a job. A thousand large masks of a photo of 50 megapixels take about 10 MB."""

_LEVEL = 1  # of zlib: its fastest


@dataclass(frozen=True, slots=True, eq=False)
class StoredMasks:
    """Attributes:
    original: (height, width) of the EXIF-oriented original.
    done: points that are decoded, or known to be not needed.
    total: points of the job; at least 1.
    count: number of masks.
    packed: the JSON array of the masks, deflated.
    size: bytes of the JSON.
    """

    original: Size
    done: int
    total: int
    count: int
    packed: memoryview
    size: int

    def json(self) -> bytes:
        """Return the JSON array of the masks, as text in ASCII; see `MaskRecord.as_json`.

        Raises:
            EverythingFailed: no mask worker packed them. (The checksum has already found any accident.)
        """
        inflater = zlib.decompressobj()
        try:
            text = inflater.decompress(self.packed, self.size + 1)
        except zlib.error:
            text = b""
        if len(text) != self.size or not inflater.eof:
            raise EverythingFailed("the stored masks cannot be read")
        return text


def pack_masks(key: EverythingKey, masks: Sequence[MaskRecord], original: Size, done: int, total: int) -> bytes:
    """Return the value that is stored.

    Raises:
        EverythingFailed: the masks take more than `LARGEST` bytes.
    """
    parts: list[bytes] = []
    size = 2
    for mask in masks:
        parts.append(json.dumps(mask.as_json(), separators=(",", ":")).encode("ascii"))
        size += len(parts[-1]) + 1
        if size > LARGEST:
            raise EverythingFailed(f"the masks take more than {LARGEST} bytes; ask for fewer points, or stricter ones")
    text = b"[" + b",".join(parts) + b"]"
    header = {
        "job": key.name,
        "original": list(original),
        "done": done,
        "total": total,
        "count": len(masks),
        "bytes": len(text),
    }
    return seal(ValueKind.EVERYTHING, header, zlib.compress(text, _LEVEL))


def unpack_masks(key: EverythingKey, value: bytes) -> StoredMasks:
    """Return what `pack_masks` packed for the same key.

    Raises:
        DamagedEmbedding: the value is cut, changed, of another job, or no mask worker wrote it.
    """
    header, payload = unseal(ValueKind.EVERYTHING, value)
    match header:
        case {
            "job": key.name,
            "original": [int(height), int(width)],
            "done": int(done),
            "total": int(total),
            "count": int(count),
            "bytes": int(size),
        } if is_image_size(height, width) and 0 <= done <= total and total > 0 and count >= 0 and 2 <= size <= LARGEST:
            return StoredMasks((height, width), done, total, count, payload, size)
    raise DamagedEmbedding("the stored masks are of another job, or no mask worker wrote them")
