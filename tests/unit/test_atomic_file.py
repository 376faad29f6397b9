"""A replaced file has its old or its new content, never a part of either."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.host.atomic_file import replacing


def test_the_new_content_takes_the_place_of_the_old_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_breaks_off_changes_nothing_and_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_other_users_may_read_it(tmp_path: Path) -> None:
    with replacing(tmp_path / "file"):
        pass
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_not_there_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no folder" / "file"):
        pass
