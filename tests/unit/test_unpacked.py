"""Files that are unpacked once, however many read them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from prompt_api.service.unpacked import UnpackedFiles

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(CONTENT))
    return path


@pytest.fixture
def files() -> Iterator[UnpackedFiles]:
    made = UnpackedFiles()
    yield made
    made.close()


def test_many_readers_share_one_unpacked_copy(files: UnpackedFiles, packed: Path) -> None:
    first = files.open(packed)
    before = len(os.listdir("/proc/self/fd"))
    others = [files.open(packed) for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert first.read(3) == others[0].read(3) == CONTENT[:3]
    others[0].close()
    assert first.read() == others[1].read()[3:] == CONTENT[3:]


def test_a_reader_can_go_back(files: UnpackedFiles, packed: Path) -> None:
    reader = files.open(packed)
    assert (reader.seek(0, os.SEEK_END), reader.read(5)) == (len(CONTENT), b"")
    assert (reader.seek(-2, os.SEEK_CUR), reader.read()) == (len(CONTENT) - 2, CONTENT[-2:])
    assert (reader.seek(4), reader.tell(), reader.read(2)) == (4, 4, CONTENT[4:6])


def test_a_file_that_is_damaged_is_tried_again(files: UnpackedFiles, packed: Path) -> None:
    whole = packed.read_bytes()
    packed.write_bytes(whole[:100])
    with pytest.raises(EOFError):
        files.open(packed)
    packed.write_bytes(whole)
    assert files.open(packed).read() == CONTENT
