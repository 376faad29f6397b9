"""The version is the one of the newest release in CHANGELOG.md, everywhere."""

from __future__ import annotations

import re
import tomllib

from bench.shown import ROOT

RELEASE = re.compile(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", re.MULTILINE)


def releases() -> list[tuple[str, str]]:
    """(version, date) of each release, the newest first."""
    return RELEASE.findall((ROOT / "CHANGELOG.md").read_text())


def project(file: str) -> str:
    return str(tomllib.loads((ROOT / file).read_text())["project"]["version"])


def test_releases_are_in_order_below_what_is_not_released() -> None:
    versions = [tuple(map(int, version.split("."))) for version, _ in releases()]
    dates = [date for _, date in releases()]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings == ["Unreleased", *(version for version, _ in releases())]


def test_no_change_stands_twice() -> None:
    """A merge of two branches may leave an entry in two sections."""
    begins = re.findall(r"^- .+$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sorted({begin for begin in begins if begins.count(begin) > 1}) == []


def test_service_and_client_have_the_version_of_the_newest_release() -> None:
    assert project("pyproject.toml") == project("client/pyproject.toml") == releases()[0][0]


def test_images_and_manifests_have_it_too() -> None:
    version = project("pyproject.toml")
    for file in ("Dockerfile.api", "Dockerfile.encoder"):
        assert re.findall(r"^ARG VERSION=(.+)$", (ROOT / file).read_text(), re.MULTILINE) == [version]
    tags = re.findall(r"newTag: ([^}\s]+)", (ROOT / "deploy/k8s/overlays/production/kustomization.yaml").read_text())
    assert {tag.removesuffix("-cuda") for tag in tags} == {version}
