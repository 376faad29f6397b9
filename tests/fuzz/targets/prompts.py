"""The prompt parser and mask tokens: bodies and tokens are read, or refused as invalid prompts."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from prompt_api.service import tokens
from prompt_api.service.prompts import ImagePrompt, check_position, to_decoder_frame
from prompt_api.wire.requests import (
    MAX_POINTS,
    MAX_PROMPTS,
    as_prompt,
    parse_mask_logits,
    parse_prompt,
    parse_request,
)
from shared.contract.errors import InvalidPrompt
from shared.contract.keys import EmbeddingKey, logits_key
from shared.contract.models import SAM1

KEY = EmbeddingKey("a" * 64, "mobile_sam", "b" * 64, "p1")
SIZE = (1200, 1800)
SIDE = SAM1.low_res_side


def check(data: bytes) -> None:
    """Check the bytes. The first says what the rest is: a body, the JSON of a recipe or stored token, or a token."""
    kind, rest = data[:1], data[1:]
    if kind in (b"r", b"s"):
        _check_token(kind.decode() + _packed(rest))
    elif kind == b"t":
        _check_token(rest.decode("utf-8", "replace"))
    else:
        _check_body(rest)


def seeds() -> Iterator[bytes]:
    click = {"points": [[500, 375], [1.5, -2e2]], "labels": [1, 0]}
    (first, *_) = tokens.recipe_tokens(parse_prompt(click), KEY, multimask=True, count=3, depth=0)
    (second,) = tokens.recipe_tokens(
        parse_prompt({**click, "mask_token": first}), KEY, multimask=False, count=1, depth=1
    )
    (stored, *_) = tokens.stored_tokens(KEY, tokens.new_name(), 3)
    for prompts, form in (
        ([click], "rle"),
        ([{"box": [1, 2, 3, 4]}, {**click, "mask_token": first}], "png"),
        ([{"mask_token": second}, {"mask_token": stored}, {"mask_logits": "AAAA"}], "polygons"),
    ):
        yield b"b" + json.dumps({"prompts": prompts, "multimask": len(prompts) > 1, "format": form}).encode()
    for token in (first, second, stored):
        yield b"t" + token.encode()
        yield token[:1].encode() + json.dumps(tokens.unpack(token)[1]).encode()


def _packed(text: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(text, 1, wbits=-15)).rstrip(b"=").decode()


def _check_body(body: bytes) -> None:
    try:
        request = parse_request(body)
    except InvalidPrompt as refusal:
        _must_be_short(refusal)
        return
    assert 1 <= len(request.prompts) <= MAX_PROMPTS
    said = json.loads(body)
    assert len(said["prompts"]) == len(request.prompts)
    for given, prompt in zip(said["prompts"], request.prompts, strict=True):
        assert np.array_equal(np.array(prompt.points or [], float), np.array(given.get("points") or [], float))
        assert np.array_equal(np.array(prompt.box or [], float), np.array(given.get("box") or [], float))
        assert prompt.labels == given.get("labels")
        try:
            text = prompt.mask_logits
            _check_prompt(as_prompt(prompt, None if text is None else parse_mask_logits(text, "prompts/0", SIDE)))
        except InvalidPrompt as refusal:
            _must_be_short(refusal)


def _check_prompt(prompt: ImagePrompt) -> None:
    assert len(prompt.points) == len(prompt.labels) <= MAX_POINTS
    if prompt.mask_token is not None:
        _check_token(prompt.mask_token)
    check_position(prompt, SIZE, "prompts/0")
    framed = to_decoder_frame(prompt, SAM1.frame, SIZE, prompt.mask_logits)
    assert np.abs(framed.points).max(initial=0) <= 2048
    assert framed.box is None or np.abs(framed.box).max() <= 2048
    _must_come_back(prompt)


def _check_token(token: str) -> None:
    try:
        parsed = tokens.parse(token, KEY)
    except InvalidPrompt as refusal:
        _must_be_short(refusal)
        return
    assert 0 <= parsed.index <= tokens.MAX_INDEX
    if isinstance(parsed, tokens.Stored):
        assert logits_key(parsed.name).isascii()
    else:
        assert 0 <= parsed.depth <= tokens.MAX_NESTING
        assert len(parsed.prompt.points) <= MAX_POINTS


def _must_come_back(prompt: ImagePrompt) -> None:
    """Check that the tokens made for this prompt's masks give the same prompt when they are parsed."""
    try:
        depth = tokens.depth_of(prompt, KEY)
    except InvalidPrompt:
        return
    if not tokens.fits_recipe(prompt, depth):
        return
    for index, token in enumerate(tokens.recipe_tokens(prompt, KEY, multimask=True, count=3, depth=depth)):
        if len(token) > 8192:  # only if no service made the prompt's own mask_token
            assert len(prompt.mask_token or "") > 4096
            return
        assert tokens.parse(token, KEY) == tokens.Recipe(prompt, True, index, depth + 1)


def _must_be_short(refusal: InvalidPrompt) -> None:
    problems: list[Any] = refusal.extra.get("errors", [])
    assert len(problems) <= 10
    assert len(json.dumps([refusal.detail, problems])) < 64 * 1024
