"""Metrics of several API processes: each process shows the sum, and a dead process leaves only its counts."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from prompt_api.metrics.processes import Place, SharedFolder, shared_folder
from shared.contract.errors import ConfigurationError

ROOT = Path(__file__).parents[2]

CHILD = """
import sys
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.processes import Place
from prompt_api.metrics.scrape import Scrape
from shared.contract.models import FAKE

metrics = ApiMetrics(Place.in_environment(int(sys.argv[1])))
metrics.prompted(int(sys.argv[2]))
metrics.in_flight.inc(int(sys.argv[2]))
body, _ = Scrape(metrics, (FAKE,), {}, None).answer("")
print(body.decode())
"""


def run(folder: SharedFolder, slot: int, count: int) -> dict[str, float]:
    """Return the scrape of a process that counts and then dies without cleaning up."""
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(slot), str(count)],
        env={**os.environ, **folder.environ(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.rpartition(" ") for line in ended.stdout.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_processes_count_together_and_replacements_go_on() -> None:
    with shared_folder() as folder:
        folder.reserve(0)
        folder.reserve(1)
        folder.record([os.getpid()])
        assert run(folder, 0, 1)["sam_api_prompts_total"] == 1
        both = run(folder, 1, 10)
        assert (both["sam_api_prompts_total"], both["sam_api_requests_in_flight"]) == (11, 11)
        files = len(list(folder.path.iterdir()))

        folder.vacate(0)
        folder.reserve(0)
        replaced = run(folder, 0, 100)
        assert (replaced["sam_api_prompts_total"], replaced["sam_api_requests_in_flight"]) == (111, 110)
        assert replaced["sam_api_processes"] == 1  # only processes that are recorded and alive
        assert len(list(folder.path.iterdir())) == files, "a dead process leaves no files behind"


def test_a_process_maps_only_files_whose_room_is_reserved() -> None:
    """Otherwise, the kernel kills the process if the folder is full when it first counts something."""
    with shared_folder() as folder:
        folder.reserve(0)
        folder.record([os.getpid()])
        reserved = {file.name: file.stat().st_size for file in folder.path.iterdir()}
        assert all(file.stat().st_blocks * 512 >= file.stat().st_size > 0 for file in folder.path.iterdir())
        run(folder, 0, 1)
        assert {file.name: file.stat().st_size for file in folder.path.iterdir()} == reserved


def test_the_ids_of_the_processes_are_written_in_place() -> None:
    with shared_folder() as folder:
        place = Place(folder.path, 0)
        assert place.pids() == []
        file = (folder.path / "pids").stat()
        for pids in ([70_000, 70_001, 70_002], [5]):
            folder.record(pids)
            assert place.pids() == pids
        assert (folder.path / "pids").stat().st_ino == file.st_ino
        assert (folder.path / "pids").stat().st_size == file.st_size


def test_without_room_for_the_counts_the_api_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigurationError, match=r"No space left on device.*TMPDIR"), shared_folder():
        pass


def test_the_folder_is_private_and_goes_with_its_parent() -> None:
    with shared_folder() as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert not folder.path.exists()


def test_without_a_place_for_the_folder_the_api_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match="TMPDIR"), shared_folder():
        pass
