"""Names in Redis: each thing has its own name, and Redis and RQ accept all of them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot
from rq.job import validate_job_id

from shared.contract.errors import EncodeFailed, ImageNotFound
from shared.contract.keys import (
    EmbeddingKey,
    image_key,
    logits_key,
    owners_key,
    parse_image_id,
    queue_name,
    record_key,
    regions_key,
)
from shared.contract.models import FAKE, MOBILE_SAM, REGISTRY, SAM1
from shared.contract.region import Region

IMAGE_ID = "0123456789abcdef" * 4
KEY = EmbeddingKey.of(IMAGE_ID, MOBILE_SAM)
PART = Region(1024, 0, 2048, 700)


def test_an_image_id_is_64_lower_case_hex_digits() -> None:
    assert parse_image_id(IMAGE_ID) == IMAGE_ID


@pytest.mark.parametrize(
    "text",
    ["", IMAGE_ID[:-1], IMAGE_ID + "0", IMAGE_ID.upper(), IMAGE_ID[:-1] + "g", IMAGE_ID + "\n", "../" * 21 + "a"],
)
def test_anything_else_names_no_image(text: str) -> None:
    with pytest.raises(ImageNotFound):
        parse_image_id(text)


@given(st.text())
def test_only_ids_pass(text: str) -> None:
    try:
        assert re.fullmatch("[0-9a-f]{64}", parse_image_id(text))
    except ImageNotFound:
        assert not re.fullmatch("[0-9a-f]{64}", text)


def test_a_key_names_the_image_the_weights_and_the_preprocessing() -> None:
    assert (KEY.image_id, KEY.model, KEY.preprocessing) == (IMAGE_ID, "mobile_sam", SAM1.preprocessing)
    assert KEY.weights_digest == MOBILE_SAM.weights_digest


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, image_id="f" * 64),
        replace(KEY, model="vit_b"),
        replace(KEY, weights_digest="f" * 64),
        replace(KEY, preprocessing="p0"),
        replace(KEY, region=Region(0, 0, 16, 16)),
    ],
)
def test_another_image_region_model_weights_or_preprocessing_is_another_key_and_another_job(
    other: EmbeddingKey,
) -> None:
    assert other.redis_key != KEY.redis_key
    assert other.job_id != KEY.job_id


DOTTED = replace(MOBILE_SAM, name="cells.v2_a-b", stretch=True)


@pytest.mark.parametrize("model", [*REGISTRY.values(), DOTTED], ids=lambda model: model.name)
def test_job_ids_and_queue_names_use_only_what_rq_allows(model) -> None:  # type: ignore[no-untyped-def]
    validate_job_id(EmbeddingKey.of(IMAGE_ID, model).job_id)
    validate_job_id(EmbeddingKey.of(IMAGE_ID, model, PART).job_id)
    assert re.fullmatch(r"[a-z0-9._-]+", queue_name(model.name, model.weights_digest))


def test_a_whole_image_has_the_names_that_it_had_before_there_were_regions() -> None:
    digest = MOBILE_SAM.weights_digest
    assert KEY.redis_key == f"sam:tensors:mobile_sam:{digest[:16]}:{SAM1.preprocessing}:{{{IMAGE_ID}}}"
    assert KEY.job_id == f"sam-encode-mobile_sam-{digest[:16]}-{SAM1.preprocessing}-{IMAGE_ID}"
    assert KEY.job_arguments == (IMAGE_ID, "mobile_sam", digest, SAM1.preprocessing)
    assert EmbeddingKey.of_job(list(KEY.job_arguments)) == KEY


@given(
    st.lists(st.integers(0, 60_000), min_size=2, max_size=2),
    st.lists(st.integers(16, 5_000), min_size=2, max_size=2),
)
def test_a_job_names_its_region(start: list[int], sides: list[int]) -> None:
    key = replace(KEY, region=Region(start[0], start[1], start[0] + sides[0], start[1] + sides[1]))
    assert EmbeddingKey.of_job(list(key.job_arguments)) == key
    assert key.redis_key.startswith(KEY.redis_key)
    assert key.job_id.startswith(KEY.job_id)


@pytest.mark.parametrize(
    "text", ["", "0-0-16", "0-0-16-15", "0-0-16-16-", "00-0-16-16", "0,0,16,16", "16-0-0-16", "p1"]
)
def test_a_job_with_anything_but_a_region_in_its_place_is_refused(text: str) -> None:
    with pytest.raises(EncodeFailed):
        EmbeddingKey.of_job([*KEY.job_arguments, text])
    with pytest.raises(EncodeFailed):
        EmbeddingKey.of_job([*KEY.job_arguments, PART.text, text])


def test_names_that_differ_in_a_dot_have_different_jobs() -> None:
    ids = {EmbeddingKey.of(IMAGE_ID, replace(MOBILE_SAM, name=name)).job_id for name in ("a.b", "a_b", "a-b")}
    assert len(ids) == 3


def test_each_kind_of_value_has_its_own_names() -> None:
    names = [image_key(IMAGE_ID), record_key(IMAGE_ID), logits_key(IMAGE_ID), KEY.redis_key]
    assert len(set(names)) == 4
    assert all(name.startswith("sam:") and IMAGE_ID in name for name in names)


def test_a_cluster_keeps_all_of_an_image_on_one_node() -> None:
    part = replace(KEY, region=PART).redis_key
    names = [
        image_key(IMAGE_ID),
        record_key(IMAGE_ID),
        owners_key(IMAGE_ID),
        regions_key(IMAGE_ID),
        KEY.redis_key,
        part,
    ]
    assert {key_slot(name.encode()) for name in names} == {key_slot(IMAGE_ID.encode())}


def test_models_have_different_digests() -> None:
    assert len({model.weights_digest for model in REGISTRY.values()}) == len(REGISTRY)
    assert re.fullmatch("[0-9a-f]{64}", FAKE.weights_digest)
