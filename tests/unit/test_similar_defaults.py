"""The page and the documents say the defaults of the search as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prompt_api.similar.interface import SearchOptions

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = SearchOptions()


def test_the_page_lights_and_compares_by_the_defaults() -> None:
    source = (ROOT / "prompt_api/web/alike-search.js").read_text()
    constants = dict(re.findall(r"^(?:export )?const ([A-Z_]+) = ([^;]+);", source, re.MULTILINE))
    assert json.loads(constants["LIT_SIMILARITY"]) == DEFAULT.min_similarity
    assert tuple(json.loads(constants["LIKE_SIZE"])) == DEFAULT.size


def test_the_documents_say_the_defaults() -> None:
    text = (ROOT / "docs/http-api.md").read_text()
    line = next(line for line in text.splitlines() if '"min_similarity"' in line)
    said = {name: json.loads(value) for name, value in re.findall(r'"(\w+)": (\[[^]{]+\]|[\d.]+)', line)}
    assert said == {
        "limit": DEFAULT.limit,
        "min_similarity": DEFAULT.min_similarity,
        "min_score": DEFAULT.min_score,
        "size": list(DEFAULT.size),
    }
    for file in ("docs/similar.md", "docs/web-page.md"):
        assert str(DEFAULT.min_similarity) in (ROOT / file).read_text()
