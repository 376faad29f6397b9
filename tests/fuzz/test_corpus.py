"""Every input that fuzzing ever found bad, and every seed, must hold what its target promises."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.fuzz.bounded import bounded

ANY_MACHINE = 60.0
"""Seconds of processor time: a hundred times what any of these takes on a machine of today."""

CORPUS = Path(__file__).parent / "corpus"
TARGETS = sorted(path.stem for path in (Path(__file__).parent / "targets").glob("[a-z]*.py"))


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_hold_what_their_target_promises(target: str) -> None:
    module = importlib.import_module(f"tests.fuzz.targets.{target}")
    check = bounded(module.check, ANY_MACHINE)
    for data in module.seeds():
        check(data)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_that_once_broke_a_promise_keeps_it(path: Path) -> None:
    bounded(importlib.import_module(f"tests.fuzz.targets.{path.parent.name}").check, ANY_MACHINE)(path.read_bytes())


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.glob("*/*")) < 300_000
