"""The search: prompts where the image looks like the examples, and keeps the masks that do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.low_res import low_res_logits
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import POINTS_AT_ONCE, DecodedMasks, LoadedDecoder, PreparedImage
from prompt_api.similar.candidates import Candidates
from prompt_api.similar.interface import Answer, Example, Found, ImageFeatures, Permit, SearchOptions
from prompt_api.similar.looks import PLACES, Looks, Space, coverage, unit_vectors, weighted_sum
from prompt_api.similar.outlines import Bits, Floats

ROUND = 16
"""Points of a round at most. A mask of one round blanks the places that it covers for the next."""

PATIENCE = 32
"""The search ends after so many points in a row that gave nothing new which is similar enough."""


def search(
    loaded: LoadedDecoder,
    prepared: PreparedImage,
    features: ImageFeatures,
    examples: Sequence[Example],
    options: SearchOptions,
    *,
    exclude: Sequence[ColumnRuns] = (),
    permit: Permit,
    pool: ThreadPoolExecutor | None = None,
) -> Answer:
    """Return what looks like the examples.

    The answer does not depend on `pool`.

    Args:
        loaded: the model that made the embeddings.
        prepared: what its decoder keeps of the image that is searched.
        features: those of the same image.
        examples: at least one of label 1. None of the masks is empty.
        exclude: masks over the image. What is the same object as one of them is left out.
        permit: is asked before each batch of decodes.
        pool: its threads decode the points of a batch at once; without it, the calling thread decodes them.
    """
    subject = _Subject(loaded, prepared, features)
    return _Search(subject, examples, options, exclude).run(permit, pool)


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """The image that is searched."""

    loaded: LoadedDecoder
    prepared: PreparedImage
    features: ImageFeatures


class _Search:
    def __init__(
        self, subject: _Subject, examples: Sequence[Example], options: SearchOptions, exclude: Sequence[ColumnRuns]
    ) -> None:
        loaded, features = subject.loaded, subject.features
        self._loaded = loaded
        self._prepared = subject.prepared
        self._features = features
        self._options = options
        self._side = loaded.model.architecture.low_res_side
        self._inside = tuple(int(np.ceil(length * self._side / PLACES)) for length in features.inside)
        space = Space(features)
        self._grid = space.grid(features)
        self._wanted: list[Looks] = []
        self._unwanted: list[Looks] = []
        self._means: list[NDArray[np.float32]] = []
        for example in examples:
            grid = self._grid if example.features is features else space.grid(example.features)
            bits = self._low_res([example.mask], example.features)
            looks = Looks.of(bits, grid, example.features)
            (self._wanted if example.label else self._unwanted).append(looks)
            if example.label:
                shape = example.features.vectors.shape
                vectors = unit_vectors(example.features).reshape(shape)
                self._means.append(weighted_sum(coverage(bits, shape[:2])[0], vectors))
        areas = [float(looks.outlines.area[0]) for looks in self._wanted]
        self._least, self._most = options.size[0] * min(areas), options.size[1] * max(areas)
        refused = [one.mask for one in examples if not one.label and one.features is features]
        refused_bits = self._low_res([*exclude, *refused], features)
        self._found = Candidates(refused_bits)
        self._like = self._likeness()
        self._blank(refused_bits)

    def run(self, permit: Permit, pool: ThreadPoolExecutor | None) -> Answer:
        decodes, fruitless, stopped = 0, 0, False
        while fruitless < PATIENCE and len(places := self._peaks()):
            stopped = len(self._found) >= self._options.limit or not permit(len(places))
            if stopped:
                break
            decodes += len(places)
            before = len(self._found)
            for batch, decoded in self._decoded(places, pool):
                self._take(batch, decoded)
            fruitless = 0 if len(self._found) > before else fruitless + len(places)
        best = self._found.best()
        return Answer(tuple(best[: self._options.limit]), decodes, stopped or len(best) > self._options.limit)

    def _likeness(self) -> NDArray[np.float32]:
        """Return the cosine of the features at each place with the mean of the nearest example, (rows, columns).

        Here the features are taken as they are. They tell things from the ground, and things of one kind from each
        other only in part, so that no thing is passed over.
        """
        vectors = unit_vectors(self._features)
        each = [vectors @ (mean / np.linalg.norm(mean)) for mean in self._means]
        return np.asarray(np.max(each, axis=0).reshape(self._features.vectors.shape[:2]))

    def _peaks(self) -> NDArray[np.int64]:
        """Return the places (N, 2) of the next round as (row, column): the most alike, not too near to each other."""
        like = self._like.copy()
        apart = np.min([looks.outlines.reach[0] for looks in self._wanted], axis=0) * PLACES / self._side
        rows, columns = np.indices(like.shape)
        chosen: list[tuple[int, int]] = []
        while len(chosen) < ROUND:
            row, column = divmod(int(np.argmax(like)), like.shape[1])
            if like[row, column] == -np.inf:
                break
            chosen.append((row, column))
            near = ((rows - row) / max(1.0, 2 * apart[0])) ** 2 + ((columns - column) / max(1.0, 2 * apart[1])) ** 2
            like[near <= 1] = -np.inf
        return np.array(chosen, np.int64).reshape(-1, 2)

    def _decoded(
        self, places: NDArray[np.int64], pool: ThreadPoolExecutor | None
    ) -> Iterator[tuple[NDArray[np.int64], list[DecodedMasks]]]:
        """Yield some of the places with all three masks of each, until all are decoded."""
        frame = self._loaded.model.architecture.frame
        batches = [places[start : start + POINTS_AT_ONCE] for start in range(0, len(places), POINTS_AT_ONCE)]

        def decode(batch: NDArray[np.int64]) -> list[DecodedMasks]:
            points = ((batch[:, ::-1] + 0.5) * (frame.side / PLACES)).astype(np.float32)
            return list(self._loaded.decoder.decode_points(self._prepared, points, 0))

        yield from zip(batches, map(decode, batches) if pool is None else pool.map(decode, batches), strict=True)

    def _take(self, places: NDArray[np.int64], decoded: Sequence[DecodedMasks]) -> None:
        """Keep the masks that are similar enough, and blank what the best of each prompt covers for the next round."""
        logits = np.stack([masks.logits for masks in decoded])
        scores = np.stack([masks.scores for masks in decoded])
        bits = logits > 0
        bits[:, :, self._inside[0] :] = False
        bits[..., self._inside[1] :] = False
        areas = bits.sum(axis=(2, 3)) / (self._inside[0] * self._inside[1])
        fits = (areas >= self._least) & (areas <= self._most) & (areas > 0) & (scores >= self._options.min_score)
        self._like[tuple(places.T)] = -np.inf
        if not fits.any():
            return
        similarity = np.full(fits.shape, -1.0)
        similarity[fits] = self._similarity(Looks.of(bits[fits], self._grid, self._features))
        alike = similarity >= self._options.min_similarity
        # What an unlike mask covers stays open: it may be the ground, with things on it.
        self._blank(bits[alike & (similarity == similarity.max(axis=1, keepdims=True))])
        # The most similar comes first, so that few masks are made that another one of the same object replaces.
        for prompt, index in sorted(np.argwhere(alike), key=lambda at: -similarity[tuple(at)]):
            found = partial(
                self._written,
                logits[prompt, index],
                float(similarity[prompt, index]),
                float(scores[prompt, index]),
                places[prompt],
                int(index),
            )
            self._found.add(bits[prompt, index], float(similarity[prompt, index]), found)

    def _similarity(self, looks: Looks) -> Floats:
        """Return the likeness to the nearest wanted example, lowered where the features are nearer to an unwanted one.

        Outline and size do not count against a mask: a rejected thing often has those of the wanted ones. Stronger
        forms were measured too, and lowered things that are wanted.
        """
        wanted = np.max([looks.to(example) for example in self._wanted], axis=0)
        if not self._unwanted:
            return np.asarray(wanted)
        near, other = (
            np.max([looks.features_to(example) for example in examples], axis=0)
            for examples in (self._wanted, self._unwanted)
        )
        return np.asarray(wanted * np.minimum(1, near / other.clip(min=1e-9)))

    def _blank(self, masks: Bits) -> None:
        """Let no prompt go where a mask is."""
        if len(masks):
            self._like[(coverage(masks, self._like.shape) > 0.5).any(axis=0)] = -np.inf

    def _low_res(self, masks: Sequence[ColumnRuns], features: ImageFeatures) -> Bits:
        """Return the masks over the model's frame, (N, S, S). One that is smaller than a cell takes one cell."""
        frame = self._loaded.model.architecture.frame
        found = np.zeros((len(masks), self._side, self._side), np.bool_)
        for bits, runs in zip(found, masks, strict=True):
            bits[:] = low_res_logits(runs, frame, self._side, features.size, (0, 0)) > 0
            if not bits.any():
                x, y, wide, tall = runs.bbox
                (column, row) = frame.points(np.array([x + wide / 2, y + tall / 2]), features.size)
                cell = frame.side / self._side
                bits[min(int(row / cell), self._side - 1), min(int(column / cell), self._side - 1)] = True
        return found

    def _written(
        self, logits: NDArray[np.float32], similarity: float, score: float, place: NDArray[np.int64], index: int
    ) -> Found:
        height, width = self._features.size
        row, column = place
        inside = self._features.inside
        point = (float((column + 0.5) * width / inside[1]), float((row + 0.5) * height / inside[0]))
        mask = self._loaded.decoder.mask_runs(logits, self._features.size)
        return Found(mask, similarity, score, point, index)
