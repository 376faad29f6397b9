"""The examples of a search: where each one lies, and its mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prompt_api.masks.encode import in_place
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import Decoder
from prompt_api.service import tokens
from prompt_api.service.embeddings import PromptableImage
from prompt_api.service.images import ImageService
from prompt_api.service.mask_prompts import known_runs
from prompt_api.service.prompts import check_position
from prompt_api.service.refinement import Refinement
from prompt_api.service.resolving import Resolver, Subject
from prompt_api.service.seen import best_of
from prompt_api.service.similar_query import AskedExample
from prompt_api.service.turns import Turn
from shared.contract import errors
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model


@dataclass(frozen=True, slots=True, eq=False)
class PlacedExample:
    """An example with the embedding that its mask is decoded from.

    Attributes:
        where: names it in messages.
        key: that of the embedding. It has a region if the example is a token of a region.
        image: that image or region.
    """

    asked: AskedExample
    where: str
    key: EmbeddingKey
    image: PromptableImage


@contextmanager
def named(where: str) -> Iterator[None]:
    """Put `where` in front of what an error of the block says, so that the client knows which member is meant."""
    try:
        yield
    except (errors.RequestError, errors.EncodeFailed) as error:
        raise type(error)(f"{where}: {error.detail}", retry_after=error.retry_after, **error.extra) from None


class ExampleMasks:
    """Finds the masks of examples. Safe for threads."""

    def __init__(self, *, images: ImageService, refinement: Refinement, decoders: Mapping[str, Decoder[Any]]) -> None:
        """Args:
        decoders: one per served model, by model name.
        """
        self._images = images
        self._resolver = Resolver(refinement)
        self._decoders = decoders

    def key_of(self, asked: AskedExample, image_id: str, model: Model, namespace: str) -> EmbeddingKey:
        """Return the key of the embedding that the example's mask is decoded from.

        Args:
            image_id: the image that is searched.
            namespace: that of the client, which has the example's image.

        Raises:
            InvalidPrompt: the mask token is malformed, or belongs to another image, model or namespace.
            InvalidParameter: the image has no such region as the token names.
        """
        name, token = asked.image_id or image_id, asked.prompt.mask_token
        region = None if token is None else tokens.region_of(token)
        key = self._images.key(name, model, None if region is None else region.corners)
        if token is not None:
            tokens.parse(token, key, namespace)  # a token that a client made up must not have a region encoded
        return key

    def mask(self, example: PlacedExample, model: Model, namespace: str, turn: Turn) -> ColumnRuns:
        """Return the example's mask over its whole image.

        A mask is taken as it is. A token gives its own mask. A prompt of one point gives the best of SAM's three masks,
        any other prompt SAM's single mask.

        Args:
            turn: that of the request.

        Raises:
            InvalidPrompt: the mask is broken, empty or of another size than the image; the token is not one for this
                image and client, or has expired; a coordinate is too far out; or the prompt gives an empty mask.
            Overloaded: the mask tokens of this request take too long.
        """
        image, prompt = example.image, example.asked.prompt
        if prompt.mask is not None:
            return known_runs(prompt.mask, image.original, f"{example.where}/mask")
        decoder = self._decoders[model.name]
        subject = Subject(example.key, model, decoder, image, namespace, turn)
        if prompt.mask_token is not None:
            with named(example.where):
                logits = self._resolver.logits(subject, prompt.mask_token)
        else:
            check_position(prompt, image.original, example.where)
            multimask = len(prompt.points) == 1 and prompt.box is None
            asked = self._resolver.prompt(subject, prompt)
            answer = next(decoder.decode(image.prepared, [asked], multimask=multimask, padding=False))
            logits = answer.logits[best_of(answer)]
        runs = in_place(decoder.mask_runs, image.region)(logits, image.original)
        if not runs.x.size:
            raise errors.InvalidPrompt(f"{example.where}: its mask is empty")
        return runs
