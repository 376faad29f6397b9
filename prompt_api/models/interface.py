"""The interface of a mask decoder: prompts on a cached embedding become low-res logits and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from shared.contract.geometry import Size
from shared.contract.models import Model

POINTS_AT_ONCE = 4
"""How many points `Decoder.decode_points` takes in one run. More of them fall out of the processor's cache."""


class DecoderForm(StrEnum):
    """The forms in which clients can have the whole decoder as one ONNX graph.

    PLAIN gives all four masks at low resolution. META is the form of segment_anything's own ONNX export.
    """

    PLAIN = "plain"
    META = "meta"


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One prompt in the model's frame, as `SamPredictor.predict` builds it.

    At least one of points, box and mask is given.

    Attributes:
        points: (N, 2) float32, (x, y); N may be 0.
        labels: (N,) int64, 1 foreground, 0 background, -1 padding, 2 and 3 the corners of a box.
        box: (4,) float32, (x0, y0, x1, y1), or None.
        mask: (S, S) float32 low-res logits of an earlier answer, or None.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    box: NDArray[np.float32] | None = None
    mask: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DecodedMasks:
    """The masks of one prompt.

    Attributes:
        logits: (K, S, S) float32 low-res logits over the model's frame, where S is its architecture's `low_res_side`.
            K is 3 with multimask, otherwise 1; from `Decoder.decode_points` it is 0 to 3.
        scores: (K,) float32, the IoU the model predicts for each mask.
        limit: the largest size of logits that the model's own predictor returns, or None. Masks are made from the
            logits without this limit.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    limit: float | None = None

    def above(self, least_score: float) -> DecodedMasks:
        """Return the masks whose score is larger than `least_score`; all of them if it is 0 or less."""
        if least_score <= 0:
            return self
        good = self.scores > np.float32(least_score)
        return DecodedMasks(self.logits[good], self.scores[good], self.limit)

    def limited(self) -> NDArray[np.float32]:
        """Return the logits as the model's own predictor returns them, and takes them back as a mask prompt."""
        return self.logits if self.limit is None else self.logits.clip(-self.limit, self.limit)


class PreparedImage(Protocol):
    """What a decoder keeps of one image between prompts: immutable, shared by threads."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds, for the byte-capped cache."""
        ...


P = TypeVar("P", bound=PreparedImage)


class Decoder(Protocol[P]):
    """A loaded prompt encoder + mask decoder. Thread-safe: many requests share one."""

    def prepare(self, tensors: Mapping[str, NDArray[np.float32]], original: Size) -> P:
        """Compute the part that depends on the image alone.

        Args:
            tensors: the embedding, by the names and shapes of the model's architecture. The decoder keeps them only if
                it needs them, and never changes them.
            original: (height, width) of the EXIF-oriented original.
        """
        ...

    def decode(
        self, image: P, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        """Return the masks of each prompt, in order. They do not depend on the other prompts.

        The next prompts may be decoded while the caller works on the last one's masks.

        Args:
            multimask: True returns SAM's masks 1-3, False its mask 0, as `MaskDecoder.forward` selects.
            padding: False leaves the logits in the padding at 0. No mask at the image's own size shows them, and the
                more padding there is, the faster this is. Such logits must not become a mask prompt, because SAM also
                reads the padding.
        """
        ...

    def decode_points(self, image: P, points: NDArray[np.float32], least_score: float) -> Iterator[DecodedMasks]:
        """Return the good masks of many points, in order. Each is a prompt of its own: one foreground point, multimask.

        They are the masks that `decode` returns without padding, but each point costs less. The calling thread does all
        the work; `POINTS_AT_ONCE` points at once cost least. Several threads may decode parts of the points.

        Args:
            points: (N, 2) as (x, y), in the model's frame.
            least_score: masks are returned if their score is larger than this; 0 or less returns all.
        """
        ...

    def mask_runs(self, logits: NDArray[np.float32], original: Size) -> ColumnRuns:
        """Return the mask at the size of the original that the low-res logits of one mask stand for.

        Args:
            logits: (S, S) float32, finite. Not changed.
            original: (height, width) of the EXIF-oriented original.
        """
        ...

    def areas_above(
        self, logits: NDArray[np.float32], thresholds: NDArray[np.float32], original: Size
    ) -> NDArray[np.int64]:
        """Return the pixels (K, M) of the original where the resized logits of each mask are above each threshold.

        Args:
            logits: (K, S, S) float32, finite. Not changed.
            thresholds: (M,) float32.
            original: (height, width) of the EXIF-oriented original.
        """
        ...


@dataclass(frozen=True, slots=True)
class SplitDecoder:
    """A mask decoder as files for browsers, split into a part per image and parts per prompt.

    Attributes:
        digest: names its content.
        parts: its files, by name.
    """

    digest: str
    parts: Mapping[str, Path]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedDecoder:
    """A model as this process serves it.

    Attributes:
        model: with the digest of the weights that are there, which every key of an embedding repeats.
        decoder: ready for prompts.
        files: the whole decoder as one ONNX file for clients, in each form; empty if there is none.
        split: the decoder for browsers, or None.
    """

    model: Model
    decoder: Decoder[Any]
    files: Mapping[DecoderForm, Path] = field(default_factory=dict)
    split: SplitDecoder | None = None
