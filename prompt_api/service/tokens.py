"""Mask tokens: a client sends one back to refine a mask.

A token names low-res logits that this service computed. Storing the logits of every answer would write 400 kB to Redis
per prompt, for each movement of a hovering pointer. So a token carries the *recipe* instead: the prompt and the number
of the mask. The process that receives the token takes the logits from memory, or decodes the recipe again and gets the
same logits, except for rounding. Only if the recipe would be large (a prompt with `mask_logits` or a mask, a long
chain of refinements) are the logits stored in Redis under a TTL.

A token is bound to its image or region, model and weights, and to the namespace that it was issued to. It allows
nothing that sending its prompt would not allow.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Any

from prompt_api.service.prompts import ImagePrompt, as_fields, from_fields
from shared.contract.errors import InvalidPrompt
from shared.contract.keys import EmbeddingKey
from shared.contract.region import Region

MAX_NESTING = 4
"""Refinements that a recipe may nest. This limits how often a replica with nothing in memory decodes for one token."""

MAX_RECIPE_POINTS = 32
"""The most points of a prompt that a recipe can hold."""

MAX_INDEX = 3
"""The largest index of a mask within its answer: SAM has at most four masks for a prompt."""

_MAX_RECIPE = 16 * 1024  # bytes of JSON after inflating
_RECIPE, _STORED = "r", "s"
_NAME_BYTES = 16
_NAME = re.compile(r"[A-Za-z0-9_-]{22}")  # _NAME_BYTES bytes in URL-safe base64


@dataclass(frozen=True, slots=True)
class Recipe:
    """Low-res logits, given as mask `index` of the answer to `prompt`."""

    prompt: ImagePrompt
    multimask: bool
    index: int
    depth: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Low-res logits, given as mask `index` of the answer that is stored under `name`."""

    name: str
    index: int


def binding(key: EmbeddingKey, namespace: str = "") -> str:
    """Return the text that ties a token to its image, model and weights (32 characters), its namespace and its region.

    No namespace has an `@`.
    """
    part = "" if key.region is None else f"@{key.region.text}"
    return f"{key.image_id[:16]}{key.weights_digest[:16]}{namespace}{part}"


def depth_of(prompt: ImagePrompt, key: EmbeddingKey, namespace: str = "") -> int:
    """Return how many recipes `prompt` nests: 0 without a token."""
    if prompt.mask_token is None:
        return 0
    parsed = parse(prompt.mask_token, key, namespace)
    return parsed.depth if isinstance(parsed, Recipe) else 0


def fits_recipe(prompt: ImagePrompt, depth: int) -> bool:
    """Return True if the tokens of this prompt's masks can carry the prompt. `depth` is the prompt's own nesting."""
    return (
        prompt.mask_logits is None
        and prompt.mask is None
        and depth < MAX_NESTING
        and len(prompt.points) <= MAX_RECIPE_POINTS
    )


def recipe_tokens(
    prompt: ImagePrompt, key: EmbeddingKey, *, multimask: bool, count: int, depth: int, namespace: str = ""
) -> list[str]:
    """Return one token per mask of the answer to `prompt`."""
    fields = as_fields(prompt)
    owner = binding(key, namespace)
    return [pack(_RECIPE, [owner, fields, multimask, index, depth + 1]) for index in range(count)]


def stored_tokens(key: EmbeddingKey, name: str, count: int, namespace: str = "") -> list[str]:
    """Return one token per mask of the answer whose logits are stored under `name`."""
    return [pack(_STORED, [binding(key, namespace), name, index]) for index in range(count)]


def new_name() -> str:
    return secrets.token_urlsafe(_NAME_BYTES)


def parse(token: str, key: EmbeddingKey, namespace: str = "") -> Recipe | Stored:
    """Return the recipe, or the name of the stored logits, that `token` carries.

    Raises:
        InvalidPrompt: the token is malformed, or belongs to another image, region, model, weights or namespace.
    """
    try:
        kind, fields = unpack(token)
        owner, *rest = fields
        if owner != (expected := binding(key, namespace)):
            if isinstance(owner, str) and owner.partition("@")[0] == expected.partition("@")[0]:
                raise InvalidPrompt("mask_token belongs to another region of this image")
            raise InvalidPrompt("mask_token belongs to another image or model")
        if kind == _STORED:
            name, index = rest
            return Stored(_name(name), _at_most(MAX_INDEX, index))
        prompt, multimask, index, depth = rest
        depth = _at_most(MAX_NESTING, depth)
        if type(multimask) is not bool:
            raise ValueError(multimask)  # noqa: TRY301 - one exception type for every malformed token
        return Recipe(_prompt(prompt, depth), multimask, _at_most(MAX_INDEX, index), depth)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidPrompt("mask_token is not a token of this service") from None


def region_of(token: str) -> Region | None:
    """Return the region that `token` says it belongs to; None for the whole image. `parse` checks the rest.

    Raises:
        InvalidPrompt: the token is malformed.
    """
    try:
        _, fields = unpack(token)
        _, part, text = str(fields[0]).partition("@")
        return Region.read(text) if part else None
    except (ValueError, LookupError, RecursionError):
        raise InvalidPrompt("mask_token is not a token of this service") from None


def _at_most(most: int, number: Any) -> int:
    if type(number) is not int or not 0 <= number <= most:
        raise ValueError(number)
    return number


def _prompt(fields: Any, depth: int) -> ImagePrompt:
    prompt = from_fields(fields)
    if not fits_recipe(prompt, depth - 1):
        raise ValueError(fields)
    return prompt


def _name(text: Any) -> str:
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise ValueError(text)
    return text


def pack(kind: str, fields: list[Any]) -> str:
    """Return a token of `kind` (`r` for a recipe, `s` for stored logits) that carries `fields`."""
    packed = zlib.compress(json.dumps(fields, separators=(",", ":")).encode(), 6, wbits=-15)
    return kind + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def unpack(token: str) -> tuple[str, list[Any]]:
    """Return the kind and the fields of a token, without checking what the fields mean.

    Raises:
        ValueError: the text is not a token.
    """
    kind, text = token[:1], token[1:]
    if kind not in (_RECIPE, _STORED):
        raise ValueError(kind)
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        inflater = zlib.decompressobj(wbits=-15)
        plain = inflater.decompress(packed, _MAX_RECIPE)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(token) from error
    if not inflater.eof:
        raise ValueError(token)
    fields = json.loads(plain)
    if not isinstance(fields, list):
        raise ValueError(token)  # noqa: TRY004 - one exception type for every malformed token
    return kind, fields
