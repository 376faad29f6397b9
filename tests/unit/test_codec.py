"""A stored embedding comes back unchanged, and any other data is refused."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.contract.errors import DamagedEmbedding, EncodeFailed, InvalidPrompt, SamCacheError
from shared.contract.keys import EmbeddingKey
from shared.contract.models import SAM1, SAM2, TensorDtype, TensorSpec
from shared.contract.region import Region
from shared.tensors.embedding import decode_embedding as decode_tensors
from shared.tensors.embedding import embedding_as_file
from shared.tensors.embedding import encode_embedding as encode_tensors
from shared.tensors.envelope import ValueKind, seal, unseal
from shared.tensors.logits import decode_logits, encode_logits
from shared.tensors.packing import pack, unpack, widen

KEY = EmbeddingKey("a" * 64, "mobile_sam", "b" * 64, "p1")
ORIGINAL = (1200, 1800)
SPECS = SAM1.tensors
((NAME, SHAPE),) = ((spec.name, spec.shape) for spec in SPECS)
DTYPES: list[TensorDtype] = ["int16", "float16", "float32", "int8"]
# The largest value that fits each size class of jemalloc, minus what Redis adds to a string.
CLASS = {"int16": 2 * 2**20 - 64, "float16": 2 * 2**20 - 64, "float32": 4 * 2**20 - 64, "int8": 2**20 - 64}
HEADER = {
    "image_id": KEY.image_id,
    "model": KEY.model,
    "weights_digest": KEY.weights_digest,
    "preprocessing": KEY.preprocessing,
    "original": list(ORIGINAL),
}
WHO = {name: HEADER[name] for name in ("image_id", "model", "weights_digest")}
SIDE = SAM1.low_res_side


@dataclass(frozen=True)
class Stored:
    """The decoded embedding of one tensor."""

    array: NDArray[np.float32]
    original: tuple[int, int]


def encode_embedding(key: EmbeddingKey, array: NDArray[Any], *, dtype: TensorDtype, original: tuple[int, int]) -> bytes:
    return encode_tensors(key, {NAME: array}, specs=SPECS, dtypes={NAME: dtype}, original=original)


def decode_embedding(data: bytes, key: EmbeddingKey) -> Stored:
    stored = decode_tensors(data, key, SPECS)
    return Stored(stored.tensors[NAME], stored.original)


def embedding_as_npy(data: bytes, key: EmbeddingKey) -> bytes:
    return embedding_as_file(data, key, SPECS)


def sealed(payload: bytes, dtype: str = "float16", *, header: Any = None, tensor: Any = None) -> bytes:
    """Return a value with a valid checksum. `header` and `tensor` replace members of its description."""
    described = {"name": NAME, "dtype": dtype, "shape": list(SHAPE), "bytes": len(payload)} | (tensor or {})
    return seal(ValueKind.EMBEDDING, HEADER | {"tensors": [described]} | (header or {}), payload)


def embedding(seed: int = 0) -> NDArray[np.float32]:
    """Return numbers distributed like a real embedding: roughly normal, with a scale per channel."""
    random = np.random.default_rng(seed)
    scale = random.uniform(0.02, 0.2, (1, 256, 1, 1))
    return (random.standard_normal(SHAPE) * scale).astype(np.float32)


EMBEDDING = embedding()
STORED = {dtype: encode_embedding(KEY, EMBEDDING, dtype=dtype, original=ORIGINAL) for dtype in DTYPES}
LOGITS = np.random.default_rng(1).normal(0, 15, (3, 256, 256)).astype(np.float32)


def test_float32_comes_back_exactly() -> None:
    assert np.array_equal(decode_embedding(STORED["float32"], KEY).array, EMBEDDING)


def test_float16_comes_back_as_numpy_rounds_it() -> None:
    assert np.array_equal(decode_embedding(STORED["float16"], KEY).array, EMBEDDING.astype(np.float16))


@pytest.mark.parametrize(("dtype", "steps"), [("int16", 32767), ("int8", 127)])
def test_integers_come_back_within_half_a_step_of_their_channel(dtype: TensorDtype, steps: int) -> None:
    step = np.abs(EMBEDDING).max(axis=(0, 2, 3), keepdims=True) / steps
    assert (np.abs(decode_embedding(STORED[dtype], KEY).array - EMBEDDING) <= step * 0.51).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_array_and_the_original_size_are_ready_to_use(dtype: TensorDtype) -> None:
    stored = decode_embedding(STORED[dtype], KEY)
    assert (stored.array.shape, stored.array.dtype, stored.original) == (SHAPE, np.float32, ORIGINAL)
    assert not stored.array.flags.writeable


PART = Region(100, 0, 612, 500)


def test_an_embedding_of_a_region_comes_back_with_the_size_of_the_whole_image() -> None:
    key = replace(KEY, region=PART)
    value = encode_embedding(key, EMBEDDING, dtype="float32", original=ORIGINAL)
    assert decode_embedding(value, key).original == ORIGINAL


@pytest.mark.parametrize("other", [None, replace(PART, x1=613), replace(PART, x0=99)])
def test_an_embedding_of_one_region_is_refused_under_the_key_of_another(other: Region | None) -> None:
    value = encode_embedding(replace(KEY, region=PART), EMBEDDING, dtype="float32", original=ORIGINAL)
    for made, asked in ((value, other), (STORED["float32"], PART)):
        with pytest.raises(DamagedEmbedding, match="another region"):
            decode_embedding(made, replace(KEY, region=asked))


@pytest.mark.parametrize("region", [Region(0, 0, 1800, 1200), Region(0, 0, 1801, 1200), Region(0, 600, 20, 1201)])
def test_an_embedding_of_a_region_that_its_image_does_not_have_is_refused(region: Region) -> None:
    key = replace(KEY, region=region)
    value = encode_embedding(key, EMBEDDING, dtype="float32", original=ORIGINAL)
    with pytest.raises(DamagedEmbedding, match="outside its image"):
        decode_embedding(value, key)


def test_logits_of_one_region_are_refused_in_another() -> None:
    whole, part = (encode_logits(key, LOGITS) for key in (KEY, replace(KEY, region=PART)))
    assert decode_logits(part, replace(KEY, region=PART), side=SIDE).shape == LOGITS.shape
    for value, region in ((whole, PART), (part, None), (part, replace(PART, x1=613))):
        with pytest.raises(InvalidPrompt, match="another region"):
            decode_logits(value, replace(KEY, region=region), side=SIDE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_stored_value_stays_in_its_allocation_class(dtype: TensorDtype) -> None:
    assert len(STORED[dtype]) <= CLASS[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_that_do_not_compress_are_stored_all_the_same(dtype: TensorDtype) -> None:
    bits = np.random.default_rng(2).integers(0, 2**32, SHAPE, dtype=np.uint32) & np.uint32(0xBFFF_FFFF)
    noise = np.clip(bits.view(np.float32), -1e4, 1e4)
    value = encode_embedding(KEY, noise, dtype=dtype, original=ORIGINAL)
    assert len(value) <= CLASS[dtype] + 4096
    assert np.isfinite(decode_embedding(value, KEY).array).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_silent_channels_and_extremes_survive(dtype: TensorDtype) -> None:
    array = np.zeros(SHAPE, np.float32)
    array[0, 1] = 65504
    array[0, 2] = -65504
    array[0, 3] = 2.0**-24
    assert np.array_equal(
        decode_embedding(encode_embedding(KEY, array, dtype=dtype, original=(1, 1)), KEY).array, array
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65536.0, -1e30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_no_encoder_should_give_are_not_stored(dtype: TensorDtype, value: float) -> None:
    array = EMBEDDING.copy()
    array[0, 7, 8, 9] = value
    with pytest.raises(EncodeFailed, match="finite"):
        encode_embedding(KEY, array, dtype=dtype, original=ORIGINAL)


def test_another_shape_or_dtype_is_not_stored() -> None:
    with pytest.raises(EncodeFailed):
        encode_embedding(KEY, EMBEDDING[0], dtype="float16", original=ORIGINAL)
    with pytest.raises(EncodeFailed):
        encode_embedding(KEY, EMBEDDING.astype(np.float64), dtype="float16", original=ORIGINAL)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_npy_file_is_float16_whatever_is_stored(dtype: TensorDtype) -> None:
    array = np.load(io.BytesIO(embedding_as_npy(STORED[dtype], KEY)), allow_pickle=False)
    assert (array.shape, array.dtype) == (SHAPE, np.float16)
    assert np.array_equal(array, decode_embedding(STORED[dtype], KEY).array.astype(np.float16))


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, image_id="c" * 64),
        replace(KEY, model="vit_b"),
        replace(KEY, weights_digest="c" * 64),
        replace(KEY, preprocessing="p0"),
    ],
)
def test_another_key_is_not_served_from_this_value(other: EmbeddingKey) -> None:
    for read in (decode_embedding, embedding_as_npy):
        with pytest.raises(DamagedEmbedding, match="another"):
            read(STORED["float16"], other)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_flipped_bit_is_found_wherever_it_is(data: st.DataObject) -> None:
    value = bytearray(STORED["int8"])
    area = data.draw(st.sampled_from([16, 400, len(value)]))
    value[data.draw(st.integers(0, area - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedEmbedding):
        decode_embedding(bytes(value), KEY)


def test_every_flipped_bit_of_a_small_value_is_found() -> None:
    value = seal(ValueKind.LOGITS, {"name": "x"}, b"payload")
    for position in range(len(value) * 8):
        flipped = bytearray(value)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(DamagedEmbedding):
            unseal(ValueKind.LOGITS, bytes(flipped))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(STORED["int8"]) - 1), st.binary(max_size=20))
def test_a_cut_or_extended_value_is_found(length: int, more: bytes) -> None:
    with pytest.raises(DamagedEmbedding):
        decode_embedding(STORED["int8"][:length], KEY)
    with pytest.raises(DamagedEmbedding):
        decode_embedding(STORED["int8"] + b"\0" + more, KEY)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_typed_error(data: bytes) -> None:
    for read in (
        lambda: decode_embedding(data, KEY),
        lambda: embedding_as_npy(data, KEY),
        lambda: decode_logits(data, KEY, side=SIDE),
    ):
        with pytest.raises(DamagedEmbedding):
            read()


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "int4"},
        {"dtype": "float32"},
        {"dtype": "int8"},
        {"shape": [1, 256, 64, 32]},
        {"shape": [1, 256, 64, 10**9]},
        {"shape": None},
        {"name": "high_res"},
        {"bytes": 5},
        {"bytes": -1},
        {"bytes": "all"},
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_though_its_checksum_does(change: dict[str, object]) -> None:
    value = sealed(pack(EMBEDDING.astype("<f2")), tensor=change)
    with pytest.raises(DamagedEmbedding):
        decode_embedding(value, KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"original": [0, 5]},
        {"original": [1, 2, 3]},
        {"original": ["1", "2"]},
        {"tensors": []},
        {"tensors": None},
        {"tensors": ["embedding"]},
    ],
)
def test_a_header_that_does_not_fit_is_refused_though_its_checksum_does(change: dict[str, object]) -> None:
    value = sealed(pack(EMBEDDING.astype("<f2")), header=change)
    with pytest.raises(DamagedEmbedding):
        decode_embedding(value, KEY)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_that_are_not_finite_are_refused_though_their_checksum_fits(dtype: TensorDtype) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        array = EMBEDDING.astype("<f2" if dtype == "float16" else "<f4")
        array[0, 200, 0, 0] = bad
        payload = pack(array)
        if dtype in ("int8", "int16"):
            payload = np.full(256, bad, "<f4").tobytes() + pack(np.ones(SHAPE, dtype))
        value = sealed(payload, dtype)
        for read in (decode_embedding, embedding_as_npy):
            with pytest.raises(DamagedEmbedding, match="finite"):
                read(value, KEY)


@pytest.mark.parametrize("payload", [b"", b"\1", b"\xff\xff\xff\xff", pack(np.zeros(1, "<f2")), bytes(5000)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_payload_of_another_length_is_refused(dtype: TensorDtype, payload: bytes) -> None:
    with pytest.raises(DamagedEmbedding):
        decode_embedding(sealed(payload, dtype), KEY)


@pytest.mark.parametrize("version", [1, 3])
def test_an_earlier_or_later_version_is_refused(version: int) -> None:
    value = bytearray(STORED["float16"])
    value[4] = version
    value[8:12] = zlib.crc32(value[12:], zlib.crc32(value[:8])).to_bytes(4, "little")
    with pytest.raises(DamagedEmbedding, match="version"):
        decode_embedding(bytes(value), KEY)


def test_logits_come_back_as_float16_rounds_them() -> None:
    array = decode_logits(encode_logits(KEY, LOGITS), KEY, side=SIDE)
    assert (array.dtype, array.flags.writeable) == (np.float32, False)
    assert np.array_equal(array, LOGITS.astype(np.float16))


@pytest.mark.parametrize("count", [1, 4])
def test_logits_of_one_mask_or_all_four(count: int) -> None:
    logits = np.zeros((count, 256, 256), np.float32)
    assert decode_logits(encode_logits(KEY, logits), KEY, side=SIDE).shape == logits.shape


def test_logits_beyond_float16_become_its_largest() -> None:
    logits = np.full((1, 256, 256), 1e9, np.float32)
    logits[0, 0, 0] = -np.inf
    array = decode_logits(encode_logits(KEY, logits), KEY, side=SIDE)
    assert (array.max(), array.min()) == (65504, -65504)


@pytest.mark.parametrize(
    "logits", [np.zeros((256, 256)), np.zeros((0, 256, 256)), np.zeros((5, 256, 256)), np.full((1, 256, 256), np.nan)]
)
def test_logits_that_cannot_be_an_answer_are_not_stored(logits: NDArray[np.float64]) -> None:
    with pytest.raises(EncodeFailed):
        encode_logits(KEY, logits.astype(np.float32))


@pytest.mark.parametrize("name", WHO)
def test_logits_of_another_image_or_model_are_the_clients_mistake(name: str) -> None:
    with pytest.raises(InvalidPrompt, match="another"):
        decode_logits(encode_logits(KEY, LOGITS), replace(KEY, **{name: "c" * 64}), side=SIDE)


def test_an_embedding_is_not_read_as_logits_or_logits_as_an_embedding() -> None:
    with pytest.raises(DamagedEmbedding):
        decode_logits(STORED["float16"], KEY, side=SIDE)
    with pytest.raises(DamagedEmbedding):
        decode_embedding(encode_logits(KEY, LOGITS), KEY)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 7))
def test_damaged_logits_are_found(position: int, bit: int) -> None:
    value = bytearray(encode_logits(KEY, LOGITS[:1]))
    value[position % len(value)] ^= 1 << bit
    with pytest.raises(DamagedEmbedding):
        decode_logits(bytes(value), KEY, side=SIDE)


@pytest.mark.parametrize("header", [{}, {"shape": [3, 256]}, {"shape": [10**12, 256, 256]}, {"shape": [1, 10**9, 256]}])
def test_logits_without_a_sound_shape_are_refused(header: dict[str, object]) -> None:
    with pytest.raises(SamCacheError):
        decode_logits(seal(ValueKind.LOGITS, WHO | header, b""), KEY, side=SIDE)


def test_every_finite_float16_is_widened_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    widened = widen(finite)
    assert np.array_equal(widened.view(np.uint32), finite.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("bits", [0x7C00, 0xFC00, 0x7E00, 0xFFFF])
def test_no_other_float16_is(bits: int) -> None:
    with pytest.raises(DamagedEmbedding):
        widen(np.array([0, bits, 1], dtype=np.uint16).view(np.float16))


@pytest.mark.parametrize("count", [1, 100, 32_768, 32_769, 100_000])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "i1"])
def test_packing_any_number_of_elements(dtype: str, count: int) -> None:
    array = np.random.default_rng(3).integers(-100, 100, count).astype(dtype)
    assert np.array_equal(unpack(memoryview(pack(array)), array.dtype, array.shape), array)


THREE = (TensorSpec("s0", (1, 4, 32, 32)), TensorSpec("s1", (1, 8, 16, 16)), TensorSpec("embedding", (1, 16, 8, 8)))
THREE_DTYPES: dict[str, TensorDtype] = {"s0": "int8", "s1": "float16", "embedding": "int16"}


def three_tensors() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(5)
    return {spec.name: random.standard_normal(spec.shape).astype(np.float32) for spec in THREE}


def three_stored() -> bytes:
    return encode_tensors(KEY, three_tensors(), specs=THREE, dtypes=THREE_DTYPES, original=ORIGINAL)


def test_several_tensors_come_back_each_as_precise_as_its_dtype() -> None:
    back, given = decode_tensors(three_stored(), KEY, THREE).tensors, three_tensors()
    assert list(back) == ["s0", "s1", "embedding"]
    assert np.array_equal(back["s1"], given["s1"].astype(np.float16))
    for name, steps in (("s0", 127), ("embedding", 32767)):
        step = np.abs(given[name]).max(axis=(0, 2, 3), keepdims=True) / steps
        assert (np.abs(back[name] - given[name]) <= step * 0.51).all()


def test_several_tensors_are_one_npz_file_that_is_always_the_same() -> None:
    file = embedding_as_file(three_stored(), KEY, THREE)
    assert file == embedding_as_file(three_stored(), KEY, THREE)
    back = decode_tensors(three_stored(), KEY, THREE).tensors
    with np.load(io.BytesIO(file), allow_pickle=False) as archive:
        assert {name: archive[name].dtype for name in archive} == dict.fromkeys(back, np.float16)
        assert all(np.array_equal(archive[name], back[name].astype(np.float16)) for name in back)


@pytest.mark.parametrize("specs", [THREE[:2], (*THREE[:2], replace(THREE[2], name="other")), THREE[::-1], SPECS])
def test_a_value_is_not_read_as_the_tensors_of_another_architecture(specs: tuple[TensorSpec, ...]) -> None:
    for read in (decode_tensors, embedding_as_file):
        with pytest.raises(DamagedEmbedding):
            read(three_stored(), KEY, specs)


def test_a_missing_or_surplus_tensor_is_not_stored() -> None:
    given = three_tensors()
    for tensors in ({name: given[name] for name in ("s0", "s1")}, {**given, "more": given["s0"]}):
        with pytest.raises(EncodeFailed, match="gave"):
            encode_tensors(KEY, tensors, specs=THREE, dtypes=THREE_DTYPES, original=ORIGINAL)


def test_the_tensors_of_sam2_stay_in_their_allocation_class() -> None:
    random = np.random.default_rng(6)
    tensors = {spec.name: random.standard_normal(spec.shape, dtype=np.float32) for spec in SAM2.tensors}
    value = encode_tensors(KEY, tensors, specs=SAM2.tensors, dtypes=SAM2.stored_as("auto"), original=ORIGINAL)
    assert len(value) <= 7 * 2**20 - 64
    back = decode_tensors(value, KEY, SAM2.tensors).tensors
    assert all(np.abs(back[name] - tensors[name]).max() < 0.03 for name in tensors)
