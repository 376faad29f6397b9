"""The number of threads that can run at once: the cores the process is bound to, or fewer by a container's quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.host.cores import usable_cores

BOUND = 8


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(BOUND)), raising=False)


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", BOUND),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("6400000 100000\n", BOUND),
        ("0 100000\n", BOUND),
        ("200000 0\n", BOUND),
        ("", BOUND),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path: Path, text: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", BOUND), ("300000", 3)])
def test_so_does_that_of_the_older_kind(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == cores


def test_without_either_the_bound_cores_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == BOUND
