"""The plots of recorded runs are drawn from their files, always the same, and the stored plots are current."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.draw import draw
from bench.summary import FOLDER

SVG = "{http://www.w3.org/2000/svg}"
RUNS = [file for file in sorted(FOLDER.glob("*.json")) if file.stem.endswith(("-prompt", "-scale"))]


def _texts(picture: Path) -> list[str]:
    root = ElementTree.parse(picture).getroot()
    assert root.tag == f"{SVG}svg"
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.stem)
def test_a_run_is_drawn_the_same_each_time(run: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(run, tmp_path))
    first = {picture: picture.read_bytes() for picture in draw(file)}
    assert {picture: picture.read_bytes() for picture in draw(file)} == first
    assert len(first) == 2


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.stem)
def test_the_recorded_plots_show_the_numbers_of_their_run(run: Path, tmp_path: Path) -> None:
    for drawn in draw(Path(shutil.copy(run, tmp_path))):
        assert _texts(run.with_name(drawn.name)) == _texts(drawn), "draw them again: python -m bench.draw"


def test_a_run_that_has_no_plots_draws_none(tmp_path: Path) -> None:
    soak = next(FOLDER.glob("*-soak-*.json"))
    assert draw(Path(shutil.copy(soak, tmp_path))) == []
