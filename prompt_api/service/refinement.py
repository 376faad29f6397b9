"""Turns mask tokens into low-res logits, and answers into mask tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.interface import DecodedMasks
from prompt_api.service import tokens
from prompt_api.service.lru import ByteLru, LruStats
from prompt_api.service.prompts import ImagePrompt
from shared.contract import errors
from shared.contract.keys import EmbeddingKey, logits_key, logits_row_key
from shared.store.interface import StoreWithSets
from shared.tensors.logits import decode_logits, encode_logits

DecodePrompt = Callable[[ImagePrompt, bool, int], DecodedMasks]
"""Decodes one prompt (prompt, multimask, nesting left) on the current image."""

_UNIT = 64 * 1024
"""Bytes for which stored logits have one entry in the row of their namespace."""

_LEAST_UNITS = 16
"""Room for two answers of four masks, however small the capacity is."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Logits:
    """Low-res logits of one mask, (S, S) float32."""

    array: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        return self.array.nbytes


@dataclass(frozen=True, slots=True)
class Issued:
    """Attributes:
    tokens: one per mask.
    keep: stores the logits that no recipe can reproduce, for other processes. The caller must call it. It may take as
        long as the store, and raises nothing.
    """

    tokens: list[str]
    keep: Callable[[], None]


def must_be_whole(prompt: ImagePrompt) -> bool:
    """Return True if the answer to `prompt` must be decoded with its padding, because it is likely to be refined.

    SAM reads the padding of a mask prompt. Nobody sees the padding, and it costs up to a third of the upscaling. Most
    answers are never refined (a pointer hovers, a batch runs), so a first prompt is decoded without padding. An answer
    that refines another is likely to be refined again. A prompt too large for a recipe cannot be decoded again.
    """
    return prompt.mask_token is not None or not tokens.fits_recipe(prompt, depth=0)


class Refinement:
    """Keeps recent low-res logits in memory, capped in bytes; see `prompt_api.service.tokens` for the rest."""

    def __init__(self, *, store: StoreWithSets, capacity: int, ttl: int, changed: Callable[[LruStats], None]) -> None:
        """Args:
        capacity: bytes of logits kept in memory, and most bytes of them stored for one namespace.
        changed: called after each change of what is kept.
        ttl: seconds for which logits that no recipe can reproduce are stored.
        """
        self._store = store
        self._ttl = ttl
        self._most_units = max(_LEAST_UNITS, capacity // _UNIT)
        self._lru: ByteLru[tuple[str, str], _Logits] = ByteLru(capacity, changed)

    def resolve(
        self, token: str, key: EmbeddingKey, decode: DecodePrompt, *, side: int, nesting: int, namespace: str = ""
    ) -> NDArray[np.float32]:
        """Return the low-res logits that `token` names, (side, side) float32.

        Args:
            side: side of the model's low-res logits.
            decode: computes logits again that are not in memory.
            nesting: how many more nested tokens may be resolved.
            namespace: that of the client that sent the token.

        Raises:
            InvalidPrompt: the token is malformed, belongs to another image, model or namespace, is nested too deep, or
                has expired.
        """
        parsed = tokens.parse(token, key, namespace)
        kept = self._lru.get((key.image_id, token))
        if kept is not None:
            return kept.array
        if nesting <= 0:
            raise errors.InvalidPrompt("mask_token nests too many refinements")
        if isinstance(parsed, tokens.Stored):
            masks = self._load(_stored_key(parsed.name, namespace), key, side)
        else:
            masks = decode(parsed.prompt, parsed.multimask, nesting - 1).limited()
        if parsed.index >= len(masks):
            raise errors.InvalidPrompt("mask_token is not a token of this service")
        logits: NDArray[np.float32] = masks[parsed.index].copy()
        self._lru.put((key.image_id, token), _Logits(logits))
        return logits

    def issue(
        self,
        prompt: ImagePrompt,
        key: EmbeddingKey,
        answer: DecodedMasks,
        *,
        multimask: bool,
        whole: bool,
        namespace: str = "",
    ) -> Issued:
        """Return one token per mask of `answer`, without a request to the store.

        Args:
            whole: True if the logits of `answer` have their padding. They are then kept for refining. If it is False,
                `must_be_whole` must be False for the prompt, and its first refinement decodes it again.
            namespace: the namespace that may use the tokens.
        """
        count = len(answer.logits)
        depth = tokens.depth_of(prompt, key, namespace)
        keep: Callable[[], None] = _nothing
        if tokens.fits_recipe(prompt, depth):
            issued = tokens.recipe_tokens(
                prompt, key, multimask=multimask, count=count, depth=depth, namespace=namespace
            )
        else:
            name = tokens.new_name()
            value = encode_logits(key, answer.limited())
            keep = partial(self._save, name, namespace, value)
            issued = tokens.stored_tokens(key, name, count, namespace)
        if not whole:
            return Issued(issued, keep)
        for token, logits in zip(issued, answer.limited(), strict=True):
            # A copy, so that one kept mask does not keep its whole batch alive.
            self._lru.put((key.image_id, token), _Logits(logits.copy()))
        return Issued(issued, keep)

    def forget(self, image_id: str) -> None:
        """Drop the image's logits from memory."""
        self._lru.discard(lambda entry: entry[0] == image_id)

    def _save(self, name: str, namespace: str, value: bytes) -> None:
        """Store logits.

        A namespace has a bounded room for them, so that they do not push images out of the cache. Its oldest go first.
        """
        units = [name] * -(-len(value) // _UNIT)
        try:
            oldest = self._store.append_to_row(logits_row_key(namespace), units, self._most_units, self._ttl)
            for one in dict.fromkeys(oldest):
                self._store.delete(_stored_key(one, namespace))
            self._store.put(_stored_key(name, namespace), value, self._ttl)
        except errors.StoreUnavailable as error:
            # The masks are computed, and the token works in this process: that is better than a 503.
            _log.warning("low-res logits kept in memory only: %s", error.detail)

    def _load(self, stored_key: str, key: EmbeddingKey, side: int) -> NDArray[np.float32]:
        value = self._store.get(stored_key)
        try:
            if value is not None:
                return decode_logits(value, key, side=side)
        except errors.DamagedEmbedding as error:
            _log.error("dropped damaged low-res logits: %s", error.detail)
            self._store.delete(stored_key)
        raise errors.InvalidPrompt("mask_token has expired; prompt again without it")


def _nothing() -> None:
    """Do nothing: a recipe needs no stored logits."""


def _stored_key(name: str, namespace: str) -> str:
    # Tokens are not signed: a token that was rewritten for another namespace must find nothing.
    return logits_key(f"{namespace}:{name}" if namespace else name)
