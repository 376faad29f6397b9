"""The command's tables, progress bar, list of files in a folder, and painted photo."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samcache.cli.files import UnreadableFile, images_in, read_image
from samcache.cli.output import Output, Progress, table
from samcache.cli.painting import paint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_aligns_text_left_and_numbers_right() -> None:
    rows = [{"file": "a.jpg", "pixels": 5, "state": None}, {"file": "b", "pixels": 1234, "state": "ready"}]
    assert table(rows).splitlines() == ["file   pixels  state", "a.jpg       5", "b        1234  ready"]
    assert table([]) == ""


def test_json_goes_to_standard_output_and_complaints_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.result({"a": 1}, "readable")
    output.complain("it rained")
    captured = capsys.readouterr()
    assert captured.out == '{\n  "a": 1\n}\n'
    assert captured.err == "samcache: it rained\n"


def test_a_file_name_that_is_no_text_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).result(None, "caf\udce9.jpg")
    assert capsys.readouterr().out == "caf\\udce9.jpg\n"


def test_progress_is_drawn_on_a_terminal_only() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        progress = Progress(4, stream)
        progress.show(2, 1)
        progress.clear()
    assert "[###############               ] 2/4, 1 failed" in terminal.getvalue()
    assert pipe.getvalue() == ""


def test_images_are_found_by_their_names(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "deep/c.webp", "deep/.git/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "deep" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert [path.name for path in images_in(tmp_path, recursive=False)] == ["a.png", "b.JPG"]
    assert [path.name for path in images_in(tmp_path, recursive=True)] == ["a.png", "b.JPG", "c.webp"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"none\.jpg cannot be read: No such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(UnreadableFile, match="directory"):
        read_image(tmp_path)


def test_a_file_too_large_for_an_image_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "film.jpg").open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    with pytest.raises(UnreadableFile, match="larger than any image"):
        read_image(tmp_path / "film.jpg")


def test_the_mask_is_tinted_and_the_rest_left_alone() -> None:
    mask = np.zeros((60, 100), dtype=np.bool_)
    mask[:, :50] = True
    picture = np.asarray(paint(Image.new("RGB", (100, 60), "white"), mask, foreground=[(20, 30)]))
    assert picture.shape == (60, 100, 3)
    assert tuple(picture[5, 5]) != (255, 255, 255)
    assert tuple(picture[5, 95]) == (255, 255, 255)


def test_points_and_box_are_marked_where_they_were_set() -> None:
    nothing = np.zeros((60, 100), dtype=np.bool_)
    white = Image.new("RGB", (100, 60), "white")
    picture = np.asarray(paint(white, nothing, foreground=[(20, 30)], background=[(70, 40)], box=[5, 6, 90, 50]))
    assert picture[30, 20].argmax() == 1
    assert picture[40, 70].argmax() == 0
    assert tuple(picture[6, 50]) != (255, 255, 255)
    assert tuple(picture[20, 50]) == (255, 255, 255)


def test_an_empty_mask_and_a_grey_photo_can_be_painted() -> None:
    assert paint(Image.new("L", (40, 30), 128), np.zeros((30, 40), dtype=np.bool_)).size == (40, 30)
