"""Mask tokens are bound to an image and a model, limited in size, and cannot crash the service."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_api.service import tokens
from prompt_api.service.prompts import ImagePrompt
from shared.contract.errors import InvalidPrompt
from shared.contract.keys import EmbeddingKey

KEY = EmbeddingKey("a" * 64, "mobile_sam", "b" * 64, "p1")

finite = st.floats(-1e5, 1e5)
prompts = st.lists(st.tuples(finite, finite), min_size=1, max_size=32).flatmap(
    lambda points: st.lists(st.sampled_from([0, 1]), min_size=len(points), max_size=len(points)).map(
        lambda labels: ImagePrompt(points=tuple(points), labels=tuple(labels))
    )
)


@given(prompts, st.booleans())
def test_a_recipe_survives_its_token_exactly(prompt: ImagePrompt, multimask: bool) -> None:
    issued = tokens.recipe_tokens(prompt, KEY, multimask=multimask, count=3, depth=0)
    for index, token in enumerate(issued):
        assert tokens.parse(token, KEY) == tokens.Recipe(prompt, multimask, index, 1)


@given(prompts)
def test_a_token_always_fits_into_a_prompt(prompt: ImagePrompt) -> None:
    depth = 0
    while tokens.fits_recipe(prompt, depth):
        token = tokens.recipe_tokens(prompt, KEY, multimask=True, count=1, depth=depth)[0]
        prompt = replace(prompt, mask_token=token)
        depth = tokens.depth_of(prompt, KEY)
    assert depth == tokens.MAX_NESTING


@pytest.mark.parametrize(
    "other",
    [
        EmbeddingKey("c" * 64, "mobile_sam", "b" * 64, "p1"),
        EmbeddingKey("a" * 64, "vit_b", "d" * 64, "p1"),
    ],
)
def test_a_token_is_no_good_elsewhere(other: EmbeddingKey) -> None:
    prompt = ImagePrompt(points=((1, 2),), labels=(1,))
    for token in [
        *tokens.recipe_tokens(prompt, KEY, multimask=True, count=1, depth=0),
        *tokens.stored_tokens(KEY, tokens.new_name(), 1),
    ]:
        with pytest.raises(InvalidPrompt, match="another image or model"):
            tokens.parse(token, other)


@given(st.text())
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(InvalidPrompt):
        tokens.parse(text, KEY)


@given(prompts, st.data())
def test_a_changed_token_is_refused_or_another_valid_prompt(prompt: ImagePrompt, data: st.DataObject) -> None:
    token = tokens.recipe_tokens(prompt, KEY, multimask=True, count=1, depth=0)[0]
    at = data.draw(st.integers(0, len(token) - 1))
    changed = token[:at] + data.draw(st.characters()) + token[at + 1 :]
    try:
        parsed = tokens.parse(changed, KEY)
    except InvalidPrompt:
        return
    assert isinstance(parsed, tokens.Recipe | tokens.Stored)


@pytest.mark.parametrize(
    "name", ["\ud800" * 22, "x" * 21, "x" * 23, "../" * 7 + "x", "x" * 22 + "\n", 5, None, ["x" * 22]]
)
def test_a_token_of_stored_logits_names_what_this_service_could_have_named(name: object) -> None:
    with pytest.raises(InvalidPrompt):
        tokens.parse(tokens.pack("s", [tokens.binding(KEY), name, 0]), KEY)


@pytest.mark.parametrize(
    "prompt", [{"points": [[1, 2]] * 33, "labels": [1] * 33}, {"mask_logits": "AAAA"}], ids=["many points", "logits"]
)
def test_a_recipe_holds_only_what_this_service_writes_into_one(prompt: dict[str, object]) -> None:
    with pytest.raises(InvalidPrompt):
        tokens.parse(tokens.pack("r", [tokens.binding(KEY), prompt, True, 0, 1]), KEY)


def test_an_inflated_token_is_refused_before_it_fills_memory() -> None:
    bomb = tokens.pack("r", ["x" * 10_000_000])
    with pytest.raises(InvalidPrompt):
        tokens.parse(bomb, KEY)
