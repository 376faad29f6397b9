"""The two predictors that the client's tests compare: segment_anything's own and ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prompt_api.models.sam1.weights import read_export
from shared.contract.models import SAM1
from tests.support.onnx import session
from tests.support.reference import Reference


class OnnxImageEncoder(torch.nn.Module):
    """MobileSAM's image encoder, with the interface that segment_anything expects of its own encoders."""

    img_size = SAM1.frame.side

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._session = session(path)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._session.run(None, {"input": image.numpy()})[0])


def official_sam(weights: Path) -> Any:
    """Return segment_anything's complete `Sam` with MobileSAM's weights."""
    sam = Reference(read_export(weights / "sam.onnx")).sam
    sam.image_encoder = OnnxImageEncoder(weights / "encoder.onnx")
    return sam


def least_iou(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Return the lowest IoU of any pair of masks in two arrays (…, H, W)."""
    either = (ours | theirs).sum(axis=(-2, -1))
    both = (ours & theirs).sum(axis=(-2, -1))
    return float(np.min(np.where(either == 0, 1.0, both / np.maximum(either, 1))))
