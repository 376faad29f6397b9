"""The seam behind which prompts on a cached embedding become low-res logits and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from shared.contract.geometry import Size


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One prompt in the model's frame, as `SamPredictor.predict` builds it.

    At least one of the three is given.

    Attributes:
        points: (N, 2) float32, (x, y); N may be 0.
        labels: (N,) int64, 1 foreground, 0 background.
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
        logits: (K, S, S) float32 low-res logits over the model's frame, S being its architecture's `low_res_side`;
            K = 3 with multimask, else 1.
        scores: (K,) float32, the IoU the model predicts for each mask.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]


class PreparedImage(Protocol):
    """What a decoder keeps of one image between prompts: immutable, shared by threads."""

    @property
    def nbytes(self) -> int:
        """Memory it holds, for the byte-capped cache."""
        ...


P = TypeVar("P", bound=PreparedImage)


class Decoder(Protocol[P]):
    """A loaded prompt encoder + mask decoder. Thread-safe: many requests share one."""

    def prepare(self, tensors: Mapping[str, NDArray[np.float32]], original: Size) -> P:
        """The part of the computation that depends on the image alone.

        Args:
            tensors: the embedding, by the names and shapes of the model's architecture. Not kept unless needed, never
                changed.
            original: (height, width) of the EXIF-oriented original.
        """
        ...

    def decode(
        self, image: P, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        """Masks for each prompt, in order; a prompt's masks do not depend on the others.

        The next prompts may be decoded while the caller works on the last one's masks.

        Args:
            multimask: True returns SAM's masks 1-3, False its mask 0, as `MaskDecoder.forward` selects.
            padding: False leaves logits at 0 in the padding, which no mask at the image's own size shows, and is
                faster the more padding there is. Such logits must not become a mask prompt: SAM reads all of them.
        """
        ...

    def mask_runs(self, logits: NDArray[np.float32], original: Size) -> ColumnRuns:
        """The mask of the original that the low-res logits of one mask stand for.

        Args:
            logits: (S, S) float32, finite. Not changed.
            original: (height, width) of the EXIF-oriented original.
        """
        ...
