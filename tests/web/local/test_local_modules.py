"""Runs the tests of the browser decoder's modules that need no browser and no runtime, in node's test runner."""

from __future__ import annotations

import json
import subprocess

from tests.web.local.make_vectors import HERE, vectors


def test_the_modules_pass_their_own_tests() -> None:
    files = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    run = subprocess.run(["node", "--test", *files], capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_vectors_are_what_the_service_computes_today() -> None:
    assert json.loads((HERE / "vectors.json").read_text()) == vectors()
