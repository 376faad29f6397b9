"""Checks that the page's decoder has the same constants as the Python code."""

from __future__ import annotations

from prompt_api.models.sam1.javascript import PATH, javascript


def test_the_committed_module_is_what_python_writes() -> None:
    assert PATH.read_text(encoding="utf-8") == javascript(), "run `python -m prompt_api.models.sam1.javascript`"
