"""docs/security.md names the versions that are installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.unit.test_promises import functions_of

ROOT = Path(__file__).parents[2]
SERVING = ("api", "worker", "heic", "local", "torch", "sam2", "tracing")
"""Extras that bring what serves; the others bring what tests."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def rows() -> dict[str, tuple[str, str]]:
    (shown,) = re.findall(r"<!-- looked at -->\n(.*?)<!-- /looked at -->", text(), re.DOTALL)
    found = re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \| (\d{4}-\d\d-\d\d) \|$", shown, re.MULTILINE)
    return {canonical(name): (version, date) for name, version, date in found}


def text() -> str:
    return (ROOT / "docs/security.md").read_text()


def pins() -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return {canonical(name): version for name, version in lines}


def test_the_versions_looked_at_are_those_that_are_pinned() -> None:
    assert {name: version for name, (version, _) in rows().items()} == {name: pins().get(name) for name in rows()}, (
        "look at the changed packages' advisories, and put their versions and the date into docs/security.md"
    )


def test_everything_that_serves_was_looked_at() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in SERVING for one in project["optional-dependencies"][extra])]
    names = {canonical(name[0]) for one in wanted if (name := re.match(r"[\w.-]+", one))}
    # The exporter is a part of the SDK's release.
    assert names - rows().keys() <= {"sam-embedding-cache", "opentelemetry-exporter-otlp-proto-http"}


def test_the_number_of_pins_is_the_one_that_was_compared() -> None:
    assert f"All {len(pins())} pins" in text()


def test_the_readme_leads_to_it() -> None:
    assert "(docs/security.md)" in (ROOT / "README.md").read_text()


def test_the_tests_against_forged_requests_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", text()))
    assert len(named) > 8
    assert named <= functions_of("tests/unit/test_remote_images.py")
