"""Every page can be found, and what it names exists: pages, headings, files, modules, targets of make and settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from bench.shown import ROOT
from shared.contract.settings import PREFIX, Settings

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "client/README.md",
    ROOT / "bench/results/README.md",
    *DOCS,
]

NO_SETTINGS = {"SAM_CACHE_API", "SAM_CACHE_CLEAN", "SAM_CACHE_MODEL", "SAM_CACHE_REGIONS_ABOVE", "SAM_CACHE_TOKEN"}
"""Variables of CVAT's function, which begin like settings of the service."""

LONGEST_README = 120


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def prose(file: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", file.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(file: Path) -> Iterator[tuple[Path, str]]:
    """Each link to a file of the project: the file, and the heading or ""."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(file)):
        if "://" not in target:
            path, _, heading = target.partition("#")
            yield ((file.parent / path).resolve() if path else file), heading


def headings(file: Path) -> set[str]:
    """The headings of a page, as the end of their addresses."""
    titles = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_to_a_heading(file: Path) -> None:
    for target, heading in links(file):
        assert target.exists(), f"{name(file)} leads to {target}"
        assert not heading or heading in headings(target), f"{name(file)} leads to #{heading} of {name(target)}"


@pytest.mark.parametrize("file", DOCS, ids=name)
def test_every_page_is_in_the_index(file: Path) -> None:
    index = ROOT / "docs/README.md"
    assert file == index or file in {target for target, _ in links(index)}


def test_the_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < LONGEST_README


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_the_targets_of_make_that_are_named_exist(file: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(?:[A-Z]+=\S+ )*make ([a-z-]+)", prose(file))) <= targets


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_the_modules_that_are_named_exist(file: Path) -> None:
    for module in re.findall(
        r"python -m ((?:shared|prompt_api|encoder_worker|deploy|bench|tests)[\w.]*)", file.read_text()
    ):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"python -m {module}"


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_the_settings_that_are_named_exist(file: Path) -> None:
    known = {PREFIX + spec.name.upper() for spec in fields(Settings)} | NO_SETTINGS
    assert set(re.findall(r"\bSAM_[A-Z_]*[A-Z]\b", file.read_text())) <= known


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_the_files_that_are_named_exist(file: Path) -> None:
    """Paths in code marks that begin with a folder of the project, without `*`, `<` or `…`."""
    named = re.findall(r"`((?:deploy|docs|bench|shared|prompt_api|encoder_worker|client)/[\w./-]+)`", prose(file))
    assert [path for path in named if not (ROOT / path).exists()] == []
