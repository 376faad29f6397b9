"""Examples in, everything that looks like them out: the search for similar objects, as one request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from prompt_api.access.owners import Owners
from prompt_api.masks.cleaning import clean
from prompt_api.masks.encode import encode_runs, within
from prompt_api.masks.runs import ColumnRuns
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.models.interface import Decoder, LoadedDecoder
from prompt_api.service import tokens
from prompt_api.service.embeddings import EmbeddingCache, PromptableImage
from prompt_api.service.examples import ExampleMasks, PlacedExample, named
from prompt_api.service.features import FeatureCache
from prompt_api.service.images import Charge, ImageService, free
from prompt_api.service.mask_prompts import known_runs
from prompt_api.service.promptable import PromptableImages, once_encoded
from prompt_api.service.prompts import FOREGROUND, ImagePrompt
from prompt_api.service.refinement import Refinement
from prompt_api.service.searches import Searches, Underway
from prompt_api.service.similar_query import SimilarObject, SimilarQuery, SimilarWriter
from prompt_api.service.turns import FEW, Turns
from prompt_api.service.work import DecodesInTurn, Work
from prompt_api.similar.interface import Answer, Example, Found, ImageFeatures
from prompt_api.similar.search import search
from shared.contract import errors
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Model
from shared.observe.stages import Stages

LONGEST_SEARCH = 10.0
"""Seconds after the start of its turn after which a search decodes no more points."""

LONGEST_WRITING = 5.0
"""Seconds for which the masks of one search are written. Polygons of large ragged masks take long."""

MOST_RUNS = 500_000
"""Vertical runs of all excluded masks of one search together, at 24 bytes each. An object usually has some hundred."""

SpendPrompts = Callable[[int], None]
"""Counts so many prompts against the client's share. It may raise `RateLimited`; then nothing is counted."""


def unlimited(_: int) -> None:
    """A `SpendPrompts` that counts nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A request. The members are the arguments of `SimilarService.write_answer`."""

    image_id: str
    model: Model
    query: SimilarQuery
    wait: float
    timings: Stages
    namespace: str
    charge: Charge
    spend: SpendPrompts


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """What is searched, and for what.

    Attributes:
        key: that of the embedding of the image that is searched.
        features: of each image of the search, by the key of its embedding.
    """

    key: EmbeddingKey
    image: PromptableImage
    examples: tuple[PlacedExample, ...]
    features: Mapping[EmbeddingKey, ImageFeatures]


class SimilarService:
    """Searches images that have an embedding for what looks like some examples."""

    def __init__(
        self,
        *,
        images: ImageService,
        embeddings: EmbeddingCache,
        features: FeatureCache,
        refinement: Refinement,
        decoders: Mapping[str, Decoder[Any]],
        owners: Owners,
        turns: Turns,
        metrics: ApiMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        decoders: one per served model, by model name.
        owners: says which images a namespace has.
        turns: the turns to decode.
        clock: returns monotonic seconds.
        """
        self._promptable = PromptableImages(images=images, embeddings=embeddings, decoders=decoders)
        self._masks = ExampleMasks(images=images, refinement=refinement, decoders=decoders)
        self._images = images
        self._features = features
        self._decoders = decoders
        self._owners = owners
        self._turns = turns
        self._metrics = metrics
        self._clock = clock
        self._searches = Searches()

    def write_answer(
        self,
        into: SimilarWriter,
        image_id: str,
        model: Model,
        query: SimilarQuery,
        *,
        wait: float,
        timings: Stages,
        namespace: str = "",
        client: str = "",
        charge: Charge = free,
        spend: SpendPrompts = unlimited,
    ) -> None:
        """Write what looks like the examples, by falling similarity. If it raises, what was written is not an answer.

        The answer is truncated if `limit`, `LONGEST_SEARCH`, `LONGEST_WRITING` or `spend` ends it.

        Args:
            into: gets the masks. Its errors end the request.
            wait: seconds to wait for embeddings that are not there yet.
            namespace: that of the client, which is known to have the image that is searched.
            client: name of the client. Turns are shared between clients.
            charge: called before a region is queued that a token names and that nobody has asked for yet.
            spend: called before points are decoded. Examples are not counted here.

        Raises:
            ImageNotFound, ImageExpired, EmbeddingPending: there is no embedding, or not yet, of the image or of that of
                an example. To a client, the image of another namespace does not exist.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why there is no embedding.
            InvalidPrompt: an example or an excluded mask makes no sense for its image.
            RateLimited: `spend` raised it before the first point was decoded, or `charge` did.
            Overloaded: too many requests decode, or too many searches are under way; try again.
            StoreUnavailable: nothing is wrong with the request; try again.
        """
        for number, example in enumerate(query.examples):
            if example.image_id is not None and example.image_id != image_id:
                with named(f"examples/{number}/image_id"):
                    self._owners.require(example.image_id, namespace)
        asked = _Asked(image_id, model, query, wait, timings, namespace, charge, spend)
        images = frozenset(example.image_id or image_id for example in query.examples) | {image_id}
        with self._searches.watched(images) as underway:
            subject = self._subject(asked)
            with (
                self._searches.room(client, query.options.limit),
                self._turns.turn(client, FEW + len(query.examples), timings) as turn,
            ):
                work = Work(turn, self._turns, timings)
                answer = self._search(asked, subject, work, underway)
                underway.require()
                into.begin(subject.key, subject.image.original)
                with work.stage("encode"):
                    whole = self._write(into, asked, subject.key, answer, work)
                into.end(truncated=answer.truncated or not whole)
        self._metrics.prompted(len(query.examples) + answer.decodes)

    def forget(self, image_id: str) -> None:
        """Drop what this process remembers of the image, and end the searches that use it."""
        self._features.forget(image_id)
        self._searches.end_with(image_id)

    def _subject(self, asked: _Asked) -> _Subject:
        """Return the images of the search with their features, as soon as all are encoded.

        An image is always looked up among the promptable images before its features are used: these know whether it
        was deleted.
        """
        model, timings = asked.model, asked.timings
        deadline = self._clock() + asked.wait

        def left() -> float:
            return max(0.0, deadline - self._clock())

        def promptable(key: EmbeddingKey) -> PromptableImage:
            return self._promptable.get(key, model, left(), timings, asked.charge)

        def features_of(key: EmbeddingKey) -> ImageFeatures:
            look = partial(self._features.get, key, model.architecture, timings)
            return once_encoded(self._images, key, look, wait=left(), timings=timings, charge=asked.charge)

        key = EmbeddingKey.of(asked.image_id, model)
        images = {key: promptable(key)}
        features = {key: features_of(key)}
        placed = []
        for number, example in enumerate(asked.query.examples):
            where = f"examples/{number}"
            with named(where):
                own = self._masks.key_of(example, asked.image_id, model, asked.namespace)
                whole = EmbeddingKey.of(own.image_id, model)
                for one in (whole, own):
                    if one not in images:
                        images[one] = promptable(one)
                if whole not in features:
                    features[whole] = features_of(whole)
            placed.append(PlacedExample(example, where, own, images[own]))
        return _Subject(key, images[key], tuple(placed), features)

    def _search(self, asked: _Asked, subject: _Subject, work: Work, underway: Underway) -> Answer:
        ends = self._clock() + LONGEST_SEARCH
        decodes = 0

        def permit(more: int) -> bool:
            nonlocal decodes
            work.give_way()
            underway.require()
            if self._clock() > ends:
                return False
            try:
                asked.spend(more)
            except errors.RateLimited:
                if not decodes:
                    raise
                return False
            decodes += more
            return True

        with work.stage("decode"):
            examples = []
            for placed in subject.examples:
                work.give_way()
                mask = self._masks.mask(placed, asked.model, asked.namespace, work.turn)
                features = subject.features[EmbeddingKey.of(placed.key.image_id, asked.model)]
                examples.append(Example(features, mask, placed.asked.label))
            excluded = _excluded(asked.query, subject.image.original, work)
            work.give_way()
            return search(
                LoadedDecoder(asked.model, DecodesInTurn(self._decoders[asked.model.name], work)),
                subject.image.prepared,
                subject.features[subject.key],
                examples,
                asked.query.options,
                exclude=excluded,
                permit=permit,
            )

    def _write(self, into: SimilarWriter, asked: _Asked, key: EmbeddingKey, answer: Answer, work: Work) -> bool:
        """Write what was found. Return False if there was no time for all of it."""
        ends = self._clock() + LONGEST_WRITING
        for found in answer.found:
            work.give_way()
            if self._clock() > ends:
                return False
            into.add(_object(found, key, asked.query, asked.namespace))
        return True


def _excluded(query: SimilarQuery, original: Size, work: Work) -> list[ColumnRuns]:
    excluded, runs = [], 0
    for number, mask in enumerate(query.exclude):
        work.give_way()
        excluded.append(known_runs(mask, original, f"exclude/{number}"))
        runs += excluded[-1].x.size
        if runs > MOST_RUNS:
            raise errors.InvalidPrompt(f"exclude/{number}: the masks up to here have too ragged edges; send fewer")
    return excluded


def _object(found: Found, key: EmbeddingKey, query: SimilarQuery, namespace: str) -> SimilarObject:
    runs = found.mask
    if not query.cleaning.changes_nothing:
        runs = clean(runs, query.cleaning, np.array([found.point], dtype=np.float64))
    prompt = ImagePrompt(points=(found.point,), labels=(FOREGROUND,))
    issued = tokens.recipe_tokens(prompt, key, multimask=True, count=found.index + 1, depth=0, namespace=namespace)
    mask = encode_runs(runs, within(query.format, query.tolerance))
    return SimilarObject(found.similarity, found.score, mask, issued[found.index], found.point)
