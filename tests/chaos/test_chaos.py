"""The quick run of `make chaos`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pycocotools.mask
import pytest
from numpy.typing import NDArray
from PIL import Image

from deploy.local.process import ROOT
from tests.chaos import report
from tests.chaos.material import PIXEL_ROUNDING, Material, alike, masks_of
from tests.chaos.run import QUICK

SEED = "7"
BOUND = 300.0


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> report.Document:
    """The file that a quick run wrote. The run must break no promise."""
    folder = tmp_path_factory.mktemp("chaos")
    command = [sys.executable, "-m", "tests.chaos", "--quick", "--seed", SEED, "--output", str(folder)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BOUND
    )
    assert done.returncode == 0, done.stdout
    (file,) = Path(folder).glob("*-chaos.json")
    return report.read(file)


def test_no_promise_is_broken_whatever_breaks(record: report.Document) -> None:
    totals = record["totals"]
    assert record["broken"] == []
    assert (totals["lost"], totals["wrong"], totals["server errors"], totals["orphans"]) == (0, 0, 0, 0)
    assert list(totals["encodes per image"]["without faults"]) == ["1"]
    jobs = totals["everything"]
    assert jobs["lost"] == 0
    assert jobs["jobs"] > QUICK.kept
    assert list(jobs["searches per image"]["without faults"]) == ["1"]


def test_every_fault_of_the_plan_was_injected_into_a_service_at_work(record: report.Document) -> None:
    assert [fault["name"] for fault in record["faults"]] == ["no fault", *QUICK.faults]
    assert all(fault["answered"] + fault["refused"] > 0 for fault in record["faults"])
    assert record["totals"]["compared"] > 100


def test_refusals_while_redis_was_stopped_say_so(record: report.Document) -> None:
    assert record["totals"]["refusals"]["store-unavailable"] > 0


def test_copies_of_a_scene_are_other_files_with_the_same_pixels() -> None:
    material = Material(1, 2)
    first, second = (material.fresh(material.scenes[0]) for _ in range(2))
    assert first != second
    assert Material(1, 2).scenes[0].jpeg == material.scenes[0].jpeg != material.scenes[1].jpeg
    assert _pixels(first) == _pixels(second) == _pixels(material.scenes[0].jpeg)


def _answer(mask: NDArray[np.uint8], *, score: float = 0.9, token: str = "a") -> bytes:
    packed = pycocotools.mask.encode(np.asfortranarray(mask))
    rle = {"size": list(packed["size"]), "counts": packed["counts"].decode()}
    entry = {"score": score, "area": int(mask.sum()), "bbox": [0, 0, 1, 1], "rle": rle, "mask_token": token}
    return json.dumps({"image_id": token, "results": [{"masks": [entry]}]}).encode()


def test_answers_are_alike_but_for_rounding_and_tokens_and_no_further() -> None:
    square = np.zeros((40, 60), np.uint8)
    square[10:30, 10:30] = 1
    rounded, other = square.copy(), square.copy()
    rounded[10, 10:12] = 0
    other[10, 10 : 11 + PIXEL_ROUNDING] = 0
    learnt = masks_of(_answer(square))
    assert alike(masks_of(_answer(square, token="b", score=0.900001)), learnt)
    assert alike(masks_of(_answer(rounded)), learnt)
    assert not alike(masks_of(_answer(other)), learnt)
    assert not alike(masks_of(_answer(square, score=0.91)), learnt)
    assert not alike(masks_of(_answer(square.T.copy())), learnt)
    assert not alike([], learnt)


def _pixels(jpeg: bytes) -> bytes:
    return Image.open(io.BytesIO(jpeg)).tobytes()
