"""What is stored of an everything job, and the names of its keys."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from redis.crc import key_slot
from rq.job import validate_job_id

from prompt_api.everything.interface import MaskRecord
from prompt_api.everything.job import stored
from prompt_api.everything.job.key import (
    EverythingKey,
    asked_key,
    everything_queue,
    is_everything_queue_of,
    jobs_key,
    parse_job_name,
)
from prompt_api.everything.job.stored import pack_masks, unpack_masks
from prompt_api.everything.options import EverythingOptions
from shared.contract.errors import DamagedEmbedding, EverythingFailed, JobNotFound
from shared.contract.keys import image_key, queue_name
from shared.contract.models import FAKE, MOBILE_SAM
from shared.tensors.envelope import ValueKind, seal

KEY = EverythingKey.of("0123456789abcdef" * 4, FAKE, EverythingOptions())
MASK = MaskRecord(
    rle={"size": [80, 120], "counts": "abc"},
    area=12,
    bbox=(1, 2, 3, 4),
    predicted_iou=0.9,
    point_coords=((2.5, 3.5),),
    stability_score=0.97,
    crop_box=(0, 0, 120, 80),
)


def test_masks_come_back_as_they_were_stored() -> None:
    found = unpack_masks(KEY, pack_masks(KEY, [MASK, MASK], (80, 120), 3, 9))
    assert (found.original, found.done, found.total, found.count) == ((80, 120), 3, 9, 2)
    assert json.loads(found.json()) == [json.loads(json.dumps(MASK.as_json()))] * 2
    assert unpack_masks(KEY, pack_masks(KEY, [], (80, 120), 1, 1)).json() == b"[]"


def test_masks_beyond_the_cap_are_a_typed_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(unpack_masks(KEY, pack_masks(KEY, [MASK], (80, 120), 1, 1)).json())
    monkeypatch.setattr(stored, "LARGEST", 3 * size)
    pack_masks(KEY, [MASK] * 2, (80, 120), 1, 1)
    with pytest.raises(EverythingFailed, match="more than"):
        pack_masks(KEY, [MASK] * 4, (80, 120), 1, 1)


def test_masks_of_another_job_are_refused() -> None:
    value = pack_masks(KEY, [MASK], (80, 120), 1, 1)
    with pytest.raises(DamagedEmbedding):
        unpack_masks(replace(KEY, image_id="f" * 64), value)


HEADER = {"job": KEY.name, "original": [80, 120], "done": 1, "total": 1, "count": 0, "bytes": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"job": "x"},
        {"original": [0, 120]},
        {"original": [80, "120"]},
        {"done": 2},
        {"total": 0, "done": 0},
        {"count": -1},
        {"bytes": 10**12},
        {"bytes": 1},
        {"bytes": None},
    ],
)
def test_headers_that_no_mask_worker_wrote_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(DamagedEmbedding):
        unpack_masks(KEY, seal(ValueKind.EVERYTHING, HEADER | change, b""))


@pytest.mark.parametrize("packed", [b"", b"no zlib", pack_masks(KEY, [MASK], (80, 120), 1, 1)[-40:]])
def test_text_that_is_not_what_its_header_says_is_refused(packed: bytes) -> None:
    found = unpack_masks(KEY, seal(ValueKind.EVERYTHING, HEADER, packed))
    with pytest.raises(EverythingFailed):
        found.json()


def test_text_that_inflates_without_end_is_cut_off() -> None:
    import zlib

    found = unpack_masks(KEY, seal(ValueKind.EVERYTHING, HEADER, zlib.compress(b" " * 50_000_000)))
    with pytest.raises(EverythingFailed):
        found.json()


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, image_id="f" * 64),
        replace(KEY, model="other"),
        replace(KEY, weights_digest="f" * 64),
        replace(KEY, preprocessing="p0"),
        EverythingKey.of(KEY.image_id, FAKE, EverythingOptions(points_per_side=31)),
    ],
)
def test_whatever_the_masks_depend_on_is_a_part_of_the_name(other: EverythingKey) -> None:
    assert other.name != KEY.name
    assert other.job_id != KEY.job_id


def test_a_job_is_read_from_its_arguments() -> None:
    validate_job_id(KEY.job_id)
    assert parse_job_name(KEY.name) == KEY.name
    assert EverythingKey.of_job(list(KEY.job_arguments)) == KEY
    for arguments in (None, [], [*KEY.job_arguments, ""], ["x", *KEY.job_arguments[1:]], [*KEY.job_arguments[:4], 1]):
        with pytest.raises(EverythingFailed):
            EverythingKey.of_job(arguments)
    for name in ("", KEY.name.upper(), KEY.name + "0", "é" * 32):
        with pytest.raises(JobNotFound):
            parse_job_name(name)


def test_each_checkpoint_has_a_queue_of_its_own_and_none_is_a_queue_of_encodings() -> None:
    names = [everything_queue("vit_b", digest * 64) for digest in "ab"]
    assert len({*names, queue_name("vit_b", "a" * 64)}) == 3
    assert is_everything_queue_of("vit_b", names[0])
    assert not is_everything_queue_of("vit", names[0])
    assert not is_everything_queue_of("vit_b", queue_name("vit_b", "a" * 64))


def test_a_cluster_keeps_all_of_an_image_on_one_node() -> None:
    names = [
        KEY.result_key,
        KEY.progress_key,
        KEY.asked_key,
        KEY.askers_key,
        jobs_key(KEY.image_id),
        asked_key(KEY.image_id, KEY.name),
    ]
    assert {key_slot(name.encode()) for name in names} == {key_slot(image_key(KEY.image_id).encode())}
    assert len(set(names)) == 5


def test_a_job_is_of_exactly_one_model() -> None:
    assert KEY.is_of(FAKE)
    for other in (MOBILE_SAM, replace(FAKE, stretch=True)):
        assert not KEY.is_of(other)
