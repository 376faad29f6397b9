"""The questions of the bench on a pair of pictures, and what each way answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.similar.baseline import by_mean_feature
from bench.similar.judging import MATCH, Judged, Mask, judged, overlap
from bench.similar.scenes import Scene
from bench.similar.subject import Encoded, Subject, pixels
from prompt_api.models.interface import DecodedMasks, LoadedDecoder
from prompt_api.similar.interface import Example, SearchOptions
from prompt_api.similar.search import search
from tests.support.masks_material import runs_of

DECODES = 64
"""Most points that each side may decode for one question."""

EXAMPLES = (1, 2, 4)
"""How many examples are given of a kind."""

REJECTIONS = {"the 2 best wrong answers": False, "the best answer of each other kind": True}
"""What is rejected, and whether it is one of each kind."""

_EVERYTHING = SearchOptions(min_similarity=0.0, limit=500)

Ranking = list[tuple[float, Mask]]
"""The similarity and the mask of each thing found, by falling similarity."""


class Remembering:
    """A decoder that decodes each point of a picture once, because all ways ask for the same points."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._known: dict[tuple[int, float, float], DecodedMasks] = {}
        self.mask_runs = decoder.mask_runs
        self.areas_above = decoder.areas_above

    def decode_points(self, prepared: Any, points: NDArray[np.float32], _least_score: float) -> Iterator[DecodedMasks]:
        for x, y in points:
            key = (id(prepared), float(x), float(y))
            if key not in self._known:
                (self._known[key],) = self._decoder.decode_points(prepared, np.array([[x, y]], np.float32), 0)
            yield self._known[key]


@dataclass(slots=True)
class Results:
    """What was judged, by the way and by what was asked. The judgements of two ways are in the same order."""

    by: dict[tuple[str, str], list[Judged]] = field(default_factory=dict)

    def add(self, way: str, what: str, one: Judged) -> None:
        self.by.setdefault((way, what), []).append(one)

    def all_of(self, way: str, what: str) -> list[Judged]:
        """Return those whose question begins with `what`."""
        return [one for (of, about), all_ in self.by.items() if of == way and about.startswith(what) for one in all_]

    def mean(self, way: str, what: str) -> tuple[float, float]:
        rows = self.all_of(way, what)
        return float(np.mean([one.average_precision for one in rows])), float(np.mean([one.recall for one in rows]))


class Permitted:
    """Allows so many decodes, and counts them."""

    def __init__(self, most: int) -> None:
        self._left = most

    def __call__(self, decodes: int, /) -> bool:
        self._left -= decodes
        return self._left >= 0


def found_in(  # noqa: PLR0917 - one call of the search
    loaded: LoadedDecoder,
    image: Encoded,
    examples: Sequence[Example],
    options: SearchOptions = _EVERYTHING,
    exclude: Iterable[Mask] = (),
    decodes: int | None = None,
) -> Ranking:
    """Search a picture."""
    left_out = [runs_of(mask) for mask in exclude]
    permit = Permitted(decodes or DECODES)
    answer = search(loaded, image.prepared, image.features, examples, options, exclude=left_out, permit=permit)
    return [(one.similarity, pixels(one.mask)) for one in answer.found]


class Pair:
    """A picture, and the next one with things of the same kinds. The examples are of the first."""

    def __init__(self, subject: Subject, first: Scene, second: Scene, ground: str, results: Results) -> None:
        self._scenes = first, second
        self._images = [subject.encoded(scene.rgb) for scene in self._scenes]
        self._decoder = Remembering(subject.loaded.decoder)
        self._loaded = subject.bound(self._decoder)
        self._ground = ground
        self._results = results

    def ask(self, kind: int) -> None:
        """Ask for a kind, with its first thing as the example."""
        example, *rest = self._scenes[0].of_kind(kind)
        given = self._example(example)
        for where, image, wanted in zip(
            ("same", "next"), self._images, (rest, self._scenes[1].of_kind(kind)), strict=True
        ):
            what = f"{where} {self._ground}"
            by_mean = by_mean_feature(
                self._decoder, image.prepared, image.features, (given.features, given.mask), DECODES
            )
            self._results.add("mean feature", what, judged([(alike, pixels(mask)) for alike, mask in by_mean], wanted))
            ranking = found_in(self._loaded, image, [given], exclude=[example] if where == "same" else ())
            self._results.add("search", what, judged(ranking, wanted))
            if where == "same":
                self._reject(kind, ranking, example, rest)
        for count in EXAMPLES:
            examples = [self._example(mask) for mask in [example, *rest][:count]]
            ranking = found_in(self._loaded, self._images[1], examples)
            self._results.add("search", f"examples {count}", judged(ranking, self._scenes[1].of_kind(kind)))

    def _example(self, mask: Mask, label: int = 1) -> Example:
        return Example(self._images[0].features, runs_of(mask), label)

    def _reject(self, kind: int, ranking: Ranking, example: Mask, wanted: Sequence[Mask]) -> None:
        """Reject some wrong answers, and judge the ranking of the rest: asked again with them, or only without them."""
        true = [example, *wanted]
        for what, each_kind in REJECTIONS.items():
            if each_kind:
                others = [self._scenes[0].of_kind(other) for other in set(self._scenes[0].kinds) - {kind, -1}]
                hits = ([mask for _, mask in ranking if is_one_of(mask, of_kind)] for of_kind in others)
                rejected = [of_kind[0] for of_kind in hits if of_kind]
            else:
                rejected = [mask for _, mask in ranking if not is_one_of(mask, true)][:2]
            examples = [self._example(example), *(self._example(mask, 0) for mask in rejected)]
            again = found_in(self._loaded, self._images[0], examples, exclude=[example])
            for way, answers in (("left out", ranking), ("label 0", again)):
                left = [one for one in answers if not is_one_of(one[1], rejected)]
                self._results.add(way, what, judged(left, wanted))


def is_one_of(mask: Mask, others: Iterable[Mask]) -> bool:
    """Return whether the mask is the same thing as one of the others."""
    return any(overlap(mask, other) >= MATCH for other in others)
