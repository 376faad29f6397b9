"""The prompts of a client as the decoder takes them, with the logits that their mask tokens name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.given import KnownMask
from prompt_api.masks.low_res import low_res_logits
from prompt_api.models.interface import DecodedMasks, Decoder, Prompt
from prompt_api.service.embeddings import PromptableImage
from prompt_api.service.prompts import ImagePrompt, check_position, to_decoder_frame
from prompt_api.service.refinement import Refinement
from prompt_api.service.tokens import MAX_NESTING
from prompt_api.service.turns import Turn
from shared.contract import errors
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model

LONGEST_TURN = 10.0
"""Seconds of its turn after which a request decodes no more mask tokens. 64 deep ones take most of a minute."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What all prompts of a request share.

    Attributes:
        decoder: that of `model`.
        namespace: that of the client.
        turn: the turn of the request.
    """

    key: EmbeddingKey
    model: Model
    decoder: Decoder[Any]
    image: PromptableImage
    namespace: str
    turn: Turn


class Resolver:
    """Finds the logits of mask tokens, or decodes them again. Safe for threads."""

    def __init__(self, refinement: Refinement) -> None:
        self._refinement = refinement

    def prompt(self, subject: Subject, prompt: ImagePrompt, nesting: int = MAX_NESTING) -> Prompt:
        """Return the prompt as the decoder takes it, with the logits that its token names.

        Args:
            nesting: how many more nested tokens may be resolved.

        Raises:
            InvalidPrompt: the token is no token for this image and client, or has expired.
            Overloaded: the tokens of the request take too long.
        """
        image, architecture = subject.image, subject.model.architecture
        mask = prompt.mask_logits
        if isinstance(prompt.mask, KnownMask):
            side = architecture.low_res_side
            mask = low_res_logits(prompt.mask.known, architecture.frame, side, image.size, image.corner)
        if prompt.mask_token is not None:
            mask = self.logits(subject, prompt.mask_token, nesting)
        return to_decoder_frame(prompt, architecture.frame, image.size, mask, corner=image.corner)

    def logits(self, subject: Subject, token: str, nesting: int = MAX_NESTING) -> NDArray[np.float32]:
        """Return the low-res logits that a mask token names, (S, S). The arguments and errors are those of `prompt`."""

        def decode_nested(prompt: ImagePrompt, multimask: bool, nesting_left: int) -> DecodedMasks:
            if subject.turn.seconds > LONGEST_TURN:
                raise errors.Overloaded(
                    "the mask_tokens take too long to decode in one request; some are decoded now: ask again, or "
                    "send fewer",
                    retry_after=1,
                )
            check_position(prompt, subject.image.original, "mask_token")  # a client may have made up the token
            nested = self.prompt(subject, prompt, nesting_left)
            return next(subject.decoder.decode(subject.image.prepared, [nested], multimask=multimask, padding=True))

        return self._refinement.resolve(
            token,
            subject.key,
            decode_nested,
            side=subject.model.architecture.low_res_side,
            nesting=nesting,
            namespace=subject.namespace,
        )
