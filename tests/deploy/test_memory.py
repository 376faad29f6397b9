"""The formula of the memory limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.memory import (
    MASK_WORKER_BASE,
    MIB,
    STEP,
    api_memory,
    api_tmp,
    gpu_worker_memory,
    main,
    mask_worker_memory,
    worker_memory,
)
from prompt_api.http.answer_budget import LARGEST
from shared.contract.settings import Settings
from shared.images.reading import most_decoding_bytes

SETTINGS = Settings()


def test_every_setting_that_takes_memory_counts() -> None:
    usual = api_memory(SETTINGS, 2)
    larger = {
        "embedding_lru_bytes": 2 * SETTINGS.embedding_lru_bytes,
        "logits_lru_bytes": SETTINGS.logits_lru_bytes + STEP,
        "feature_lru_bytes": SETTINGS.feature_lru_bytes + STEP,
        "max_image_pixels": 3 * SETTINGS.max_image_pixels,
        "max_upload_bytes": 10 * SETTINGS.max_upload_bytes,
        "api_processes": 2,
    }
    for name, value in larger.items():
        assert api_memory(replace(SETTINGS, **{name: value}), 2) > usual, name
    assert api_memory(replace(SETTINGS, image_hosts="images.example.org"), 2) > usual
    assert api_memory(SETTINGS, 8) > usual
    for name in ("max_image_pixels", "max_upload_bytes"):
        assert worker_memory(replace(SETTINGS, **{name: larger[name]}), 2) > worker_memory(SETTINGS, 2), name
    assert worker_memory(replace(SETTINGS, worker_picture_bytes=0), 2) < worker_memory(SETTINGS, 2)


def test_a_mask_worker_has_room_for_its_threads_and_half_a_gigabyte_beside_its_base() -> None:
    assert mask_worker_memory(SETTINGS, 2) > MASK_WORKER_BASE + 500_000_000
    assert mask_worker_memory(SETTINGS, 16) > mask_worker_memory(SETTINGS, 2)
    assert mask_worker_memory(replace(SETTINGS, everything_threads=16), 2) == mask_worker_memory(SETTINGS, 16)


def test_a_worker_has_room_for_its_checkpoint_and_for_torch() -> None:
    small, large = (worker_memory(replace(SETTINGS, model=model), 2) for model in ("mobile_sam", "vit_h"))
    assert large - small > 2 * 2_500_000_000
    assert gpu_worker_memory(SETTINGS, 2) > large


def test_a_worker_has_room_for_what_sam2_took() -> None:
    measured = 1_124 * MIB  # of resident memory, after two images with sam2.1_tiny on one core
    settings = replace(SETTINGS, model="sam2.1_tiny")
    assert worker_memory(settings, 2) > measured + most_decoding_bytes(settings.max_image_pixels, 0)


def test_two_of_the_largest_answers_are_far_from_the_limit() -> None:
    measured = 1_281_000_000  # the most that an API process took for them, with full caches: docs/deployment.md
    assert measured + 2 * LARGEST < 0.6 * api_memory(SETTINGS, 2)


def test_what_is_printed_is_what_compose_reads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM_API_PROCESSES", "2")
    assert main(["--api-cores", "4"]) == 0
    printed = dict(line.split("=") for line in capsys.readouterr().out.splitlines())
    settings = replace(SETTINGS, api_processes=2)
    assert printed["API_MEMORY"] == f"{api_memory(settings, 4) // MIB}m"
    assert printed["API_TMP"] == f"{api_tmp(settings) // MIB}m"
    assert printed.keys() == {"API_MEMORY", "API_TMP", "MASK_WORKER_MEMORY", "WORKER_MEMORY", "GPU_WORKER_MEMORY"}
