"""Runs the tests of the page's modules that need no browser, in node's own test runner."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from prompt_api.wire.problems import STATUS
from tests.web import make_mask_vectors
from tests.web.make_vectors import vectors

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "prompt_api" / "web"


def test_the_modules_pass_their_own_tests() -> None:
    files = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    run = subprocess.run(["node", "--test", *files], capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_vectors_are_what_pycocotools_encodes_today() -> None:
    assert json.loads((HERE / "vectors" / "rle.json").read_text()) == vectors()


def test_the_vectors_of_masks_are_what_the_api_answers_today() -> None:
    assert make_mask_vectors.PATH.read_text() == make_mask_vectors.text(), "run `python -m tests.web.make_mask_vectors`"


def test_every_error_of_the_service_has_a_sentence() -> None:
    table = (WEB / "problems.js").read_text().partition("const SENTENCES = {")[2].partition("};")[0]
    assert {error.code for error in STATUS} <= set(re.findall(r'^  "?([a-z-]+)"?:', table, re.MULTILINE))
