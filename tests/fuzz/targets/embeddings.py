"""The embedding codec: stored bytes are read whole and finite, or refused as damaged, even if the checksum fits."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from shared.contract.errors import DamagedEmbedding, InvalidPrompt
from shared.contract.keys import EmbeddingKey
from shared.contract.models import SAM1
from shared.tensors.embedding import decode_embedding, embedding_as_file, encode_embedding
from shared.tensors.envelope import ValueKind
from shared.tensors.logits import decode_logits, encode_logits
from shared.tensors.packing import FLOAT16_MAX, pack

KEY = EmbeddingKey("a" * 64, "mobile_sam", "b" * 64, "p1")
_WHO = {"image_id": KEY.image_id, "model": KEY.model, "weights_digest": KEY.weights_digest}
SPECS = SAM1.tensors
((NAME, SHAPE),) = ((spec.name, spec.shape) for spec in SPECS)
_COUNT = SHAPE[1] * SHAPE[2] * SHAPE[3]
_MOST_BYTES = 4 * _COUNT + 64 * 1024


def check(data: bytes) -> None:
    """Check the bytes unchanged, and as the description of a value whose checksum fits.

    The description is: kind u8 | count of zeros that follow the payload, u24 | header length u16 | header | payload.
    """
    _check_value(data)
    if len(data) >= 6:
        _check_value(_sealed(data))


def seeds() -> Iterator[bytes]:
    header = {**_WHO, "preprocessing": KEY.preprocessing, "original": [12, 18]}
    for dtype in ("int16", "float16", "float32", "int8"):
        numbers = np.zeros(SHAPE, np.dtype(dtype).newbyteorder("<"))
        numbers[0, 0, 0, :8] = [0, 1, -1, 2, 100, -100, 7, 3]
        packed = pack(numbers)
        scales = np.full(SHAPE[1], 0.25, "<f4").tobytes() if dtype.startswith("int") else b""
        payload = scales + packed
        tensor = {"name": NAME, "dtype": dtype, "shape": list(SHAPE), "bytes": len(payload)}
        yield _described(ValueKind.EMBEDDING, header | {"tensors": [tensor]}, payload)
    for count in (1, 3):
        numbers = np.zeros((count, 256, 256), "<f2")
        numbers[0, 0, :4] = [1, -1, 60000, -5]
        yield _described(ValueKind.LOGITS, _WHO | {"shape": [count, 256, 256]}, pack(numbers))


def _described(kind: ValueKind, header: dict[str, object], payload: bytes) -> bytes:
    text = json.dumps(header).encode()
    bare = payload.rstrip(b"\0")
    return bytes([kind]) + (len(payload) - len(bare)).to_bytes(3, "little") + struct.pack("<H", len(text)) + text + bare


def _sealed(data: bytes) -> bytes:
    kind, zeros, (length,) = data[0], int.from_bytes(data[1:4], "little"), struct.unpack_from("<H", data, 4)
    prefix = struct.pack("<4sBBH", b"SAMc", 2, kind, length)
    rest = data[6:] + bytes(min(zeros, _MOST_BYTES))
    return prefix + zlib.crc32(rest, zlib.crc32(prefix)).to_bytes(4, "little") + rest


def _check_value(value: bytes) -> None:
    _check_embedding(value)
    try:
        logits = decode_logits(value, KEY, side=SAM1.low_res_side)
    except (DamagedEmbedding, InvalidPrompt):
        return
    assert logits.shape[1:] == (256, 256)
    assert logits.dtype == np.float32
    assert np.abs(logits).max() <= FLOAT16_MAX
    assert np.array_equal(decode_logits(encode_logits(KEY, logits), KEY, side=SAM1.low_res_side), logits)


def _check_embedding(value: bytes) -> None:
    try:
        stored = decode_embedding(value, KEY, SPECS)
    except DamagedEmbedding:
        _must_be_damaged(value)
        return
    assert stored.tensors[NAME].shape == SHAPE
    assert stored.tensors[NAME].dtype == np.float32
    assert np.abs(stored.tensors[NAME]).max() <= FLOAT16_MAX
    half = np.load(io.BytesIO(embedding_as_file(value, KEY, SPECS)), allow_pickle=False)
    assert np.array_equal(half, stored.tensors[NAME].astype(np.float16))
    again = encode_embedding(KEY, stored.tensors, specs=SPECS, dtypes={NAME: "float32"}, original=stored.original)
    assert np.array_equal(decode_embedding(again, KEY, SPECS).tensors[NAME], stored.tensors[NAME])


def _must_be_damaged(value: bytes) -> None:
    try:
        embedding_as_file(value, KEY, SPECS)
    except DamagedEmbedding:
        return
    raise AssertionError("damaged for the decoder, but served as a file")
