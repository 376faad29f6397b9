"""SAM 2's mask decoder: the split decoder with SAM 2's prompts, choice of masks and mask geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import Prompt
from prompt_api.models.sam2.boundary import areas_above, mask_runs
from prompt_api.models.sam2.network import NETWORK
from prompt_api.models.two_way.onnx_decoder import CORNER_LABELS, PADDING_LABEL, OnnxDecoder, Range
from shared.contract.geometry import Size

Floats = NDArray[np.float32]

_DELTA = np.float32(0.05)
_STABLE = np.float32(0.98)


class Sam2Decoder(OnnxDecoder):
    """A `Decoder` for any weights of SAM 2, SAM 2.1 and EdgeTAM."""

    network = NETWORK

    def mask_runs(self, logits: Floats, original: Size) -> ColumnRuns:
        return mask_runs(logits, original)

    def areas_above(self, logits: Floats, thresholds: Floats, original: Size) -> NDArray[np.int64]:
        return areas_above(logits, thresholds, original)

    def sparse_prompt(self, prompt: Prompt) -> tuple[Floats, Floats]:
        return sparse_prompt(prompt)

    def computed(self, *, multimask: bool) -> Range:
        return (1, 4) if multimask else (0, 4)

    def answered(self, logits: Floats, scores: Floats, *, multimask: bool) -> Range:
        if multimask:
            return 0, len(scores)
        index = 0 if is_stable(logits[0]) else 1 + int(np.argmax(scores[1:]))
        return index, index + 1


def sparse_prompt(prompt: Prompt) -> tuple[Floats, Floats]:
    """Return points (N, 2) and labels (N,) of all sparse tokens, in the order of `SAM2ImagePredictor._predict`.

    The corners of a box come first, as points. All points are followed by a padding point. A mask alone gives N = 0.
    """
    points = [np.asarray(prompt.points, np.float32).reshape(-1, 2)]
    labels = [np.asarray(prompt.labels, np.float32)]
    if prompt.box is not None:
        points.insert(0, np.asarray(prompt.box, np.float32).reshape(2, 2))
        labels.insert(0, CORNER_LABELS)
    if prompt.box is not None or prompt.points.size:
        points.append(np.zeros((1, 2), np.float32))
        labels.append(PADDING_LABEL)
    return np.concatenate(points), np.concatenate(labels)


def is_stable(logits: Floats) -> bool:
    """Return True if the mask of `logits`, of any shape, hardly depends on the threshold.

    If the single mask does, SAM 2 answers with the best of the other three.

    Source: `_get_stability_scores` of sam2.modeling.sam.mask_decoder.MaskDecoder, in float32.
    """
    inside, around = np.count_nonzero(logits > _DELTA), np.count_nonzero(logits > -_DELTA)
    return around == 0 or bool(np.float32(inside) / np.float32(around) >= _STABLE)
