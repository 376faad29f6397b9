"""The error classes and their codes are a public contract."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from shared.contract import errors


def tree(root: type[errors.SamCacheError]) -> Iterator[type[errors.SamCacheError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


EVERY = list(tree(errors.SamCacheError))


def test_each_class_has_a_code_of_its_own() -> None:
    codes = [error.code for error in EVERY]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_each_class_is_drawn_in_the_module_docstring(error: type[errors.SamCacheError]) -> None:
    assert errors.__doc__ is not None
    assert re.search(rf"\b{error.__name__}\b", errors.__doc__)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_an_error_carries_a_sentence_a_delay_and_facts_for_a_program(error: type[errors.SamCacheError]) -> None:
    raised = error("too large", retry_after=2, limit=5)
    assert (str(raised), raised.detail, raised.retry_after) == ("too large", "too large", 2)
    assert json.dumps(raised.extra) == '{"limit": 5}'


def test_the_codes_of_the_http_contract_exist() -> None:
    promised = {
        "image-not-found", "model-not-found", "embedding-pending", "image-expired", "length-required",
        "image-too-large", "unsupported-image", "invalid-image", "invalid-prompt", "encode-failed",
        "store-unavailable", "overloaded",
    }  # fmt: skip
    assert promised <= {error.code for error in EVERY}
