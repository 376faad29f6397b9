"""A mask decoder without weights. Its masks are areas of similar colour: deterministic, and enough to build a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import DecodedMasks, Prompt
from prompt_api.models.sam1.boundary import areas_above, mask_runs
from shared.contract.geometry import Size
from shared.contract.models import EMBEDDING, FAKE

_ARCHITECTURE = FAKE.architecture
_SIDE = _ARCHITECTURE.frame.side
_LOW_RES_SIDE = _ARCHITECTURE.low_res_side
_BLOCKS = _ARCHITECTURE.tensors[0].shape[-1]
_PER_BLOCK = _LOW_RES_SIDE // _BLOCKS
_REACH = (0.10, 0.22, 0.40)
"""The largest colour distance in each of the three masks. The largest possible distance is sqrt(3)."""

_SCORES = (0.95, 0.85, 0.75)


@dataclass(frozen=True, slots=True, eq=False)
class FakePrepared:
    """Attributes:
    colours: (64, 64, 3) float32, mean RGB / 255 of each block, as the fake encoder stores them.
    inside: (64, 64) float32, the part of each block inside the image.
    """

    colours: NDArray[np.float32]
    inside: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        return self.colours.nbytes + self.inside.nbytes


class FakeDecoder:
    """A `Decoder` for embeddings of the fake encoder."""

    def prepare(self, tensors: Mapping[str, NDArray[np.float32]], original: Size) -> FakePrepared:  # noqa: ARG002 - of `Decoder`
        embedding = tensors[EMBEDDING]
        return FakePrepared(embedding[0, :3].transpose(1, 2, 0).copy(), embedding[0, 3].copy())

    def decode(
        self,
        image: FakePrepared,
        prompts: Sequence[Prompt],
        *,
        multimask: bool,
        padding: bool = True,  # noqa: ARG002 - of `Decoder`
    ) -> Iterator[DecodedMasks]:
        return (_decode(image, prompt, multimask=multimask) for prompt in prompts)

    def decode_points(
        self, image: FakePrepared, points: NDArray[np.float32], least_score: float
    ) -> Iterator[DecodedMasks]:
        foreground = np.ones(1, np.int64)
        return (_decode(image, Prompt(point[None], foreground), multimask=True).above(least_score) for point in points)

    def mask_runs(self, logits: NDArray[np.float32], original: Size) -> ColumnRuns:
        return mask_runs(logits, original)

    def areas_above(
        self, logits: NDArray[np.float32], thresholds: NDArray[np.float32], original: Size
    ) -> NDArray[np.int64]:
        return areas_above(logits, thresholds, original)


def _decode(image: FakePrepared, prompt: Prompt, *, multimask: bool) -> DecodedMasks:
    foreground = prompt.points[prompt.labels == 1]
    background = prompt.points[prompt.labels == 0]
    if prompt.box is not None and len(foreground) == 0:
        foreground = prompt.box.reshape(2, 2).mean(axis=0, keepdims=True)
    nearest = _distance(image, foreground)
    away = _distance(image, background)
    rows = []
    for reach in _REACH if multimask else _REACH[:1]:
        near = np.where(np.isinf(nearest), 0.0, reach - nearest)
        # A block is out if its colour is nearer to a background point than to a foreground point.
        value = np.where(np.isinf(away), near, np.minimum(near, away - np.minimum(nearest, 2.0) - 0.02))
        rows.append(20.0 * value)
    logits = np.stack(rows).astype(np.float32)
    logits = logits.repeat(_PER_BLOCK, axis=1).repeat(_PER_BLOCK, axis=2)
    if prompt.mask is not None:
        logits = logits + 0.25 * prompt.mask if len(prompt.points) or prompt.box is not None else logits + prompt.mask
    outside = image.inside.repeat(_PER_BLOCK, axis=0).repeat(_PER_BLOCK, axis=1) <= 0
    logits[:, outside] = -10
    if prompt.box is not None:
        logits[:, ~_in_box(prompt.box)] = -10
    scores = np.array(_SCORES if multimask else _SCORES[:1], dtype=np.float32)
    return DecodedMasks(np.ascontiguousarray(logits, dtype=np.float32), scores)


def _distance(image: FakePrepared, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each block's least colour distance to the blocks under `points`, (64, 64); infinite without points."""
    least = np.full((_BLOCKS, _BLOCKS), np.inf, dtype=np.float32)
    for x, y in points:
        column, row = (int(np.clip(value // (_SIDE // _BLOCKS), 0, _BLOCKS - 1)) for value in (x, y))
        np.minimum(least, np.linalg.norm(image.colours - image.colours[row, column], axis=2), out=least)
    return least


def _in_box(box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (256, 256), True for low-res positions whose centre lies in the box of the 1024 frame."""
    centres = (np.arange(_LOW_RES_SIDE) + 0.5) * (_SIDE / _LOW_RES_SIDE)
    x0, y0, x1, y1 = box
    columns = (centres >= x0) & (centres <= x1)
    rows = (centres >= y0) & (centres <= y1)
    inside: NDArray[np.bool_] = rows[:, None] & columns[None, :]
    return inside
