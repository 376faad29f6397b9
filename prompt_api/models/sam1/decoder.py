"""SAM's mask decoder: the split decoder with SAM's prompts and mask geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import Prompt
from prompt_api.models.sam1.boundary import areas_above, mask_runs
from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.two_way.onnx_decoder import CORNER_LABELS, PADDING_LABEL, OnnxDecoder, Range
from shared.contract.geometry import Size

Floats = NDArray[np.float32]


class Sam1Decoder(OnnxDecoder):
    """A `Decoder` for any SAM weights."""

    network = NETWORK

    def mask_runs(self, logits: Floats, original: Size) -> ColumnRuns:
        return mask_runs(logits, original)

    def areas_above(self, logits: Floats, thresholds: Floats, original: Size) -> NDArray[np.int64]:
        return areas_above(logits, thresholds, original)

    def sparse_prompt(self, prompt: Prompt) -> tuple[Floats, Floats]:
        return sparse_prompt(prompt)

    def computed(self, *, multimask: bool) -> Range:
        return (1, 4) if multimask else (0, 1)

    def answered(self, logits: Floats, scores: Floats, *, multimask: bool) -> Range:  # noqa: ARG002 - of `OnnxDecoder`
        return 0, len(scores)


def sparse_prompt(prompt: Prompt) -> tuple[Floats, Floats]:
    """Return points (N, 2) and labels (N,) of all sparse tokens, in the order of `PromptEncoder.forward`.

    Points without a box are followed by a padding point. A box may also be among the points, with labels 2 and 3. The
    corners of a box come last. A mask alone gives N = 0.
    """
    points = [np.asarray(prompt.points, np.float32).reshape(-1, 2)]
    labels = [np.asarray(prompt.labels, np.float32)]
    if prompt.box is not None:
        points.append(np.asarray(prompt.box, np.float32).reshape(2, 2))
        labels.append(CORNER_LABELS)
    elif prompt.points.size and not (prompt.labels > 1).any():
        points.append(np.zeros((1, 2), np.float32))
        labels.append(PADDING_LABEL)
    return np.concatenate(points), np.concatenate(labels)
