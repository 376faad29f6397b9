"""The tests that docs/promises.md names exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_of(path: str) -> frozenset[str]:
    return frozenset(re.findall(r"^def (\w+)\(", (ROOT / path).read_text(), re.M))


def test_every_test_named_in_the_promises_exists() -> None:
    named = NAMED.findall((ROOT / "docs/promises.md").read_text())
    assert named
    assert [(path, name) for path, name in named if name not in functions_of(path)] == []


def test_every_fault_names_its_test() -> None:
    text = (ROOT / "docs/promises.md").read_text().partition("## Under load")[0]
    rows = re.findall(r"^\|(?!-).*\|$", text, re.M)
    assert [row for row in rows if "injected by" not in row and not NAMED.search(row)] == []
