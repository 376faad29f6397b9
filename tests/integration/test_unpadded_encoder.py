"""MobileSAM's encoder in OpenVINO with the published weights: faster graphs, and the embedding of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder_worker.backends.onnx import openvino
from encoder_worker.backends.onnx.encoder import OnnxEncoder
from encoder_worker.backends.onnx.unpadded import UnpaddedEncoder
from shared.contract.models import MOBILE_SAM

SIDE = MOBILE_SAM.encoder_frame.side


def encoder(weights: Path) -> OnnxEncoder:
    return OnnxEncoder(MOBILE_SAM, weights / "encoder.onnx", threads=2)


@pytest.fixture(scope="module")
def published(weights: Path) -> OnnxEncoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "is_installed", lambda: False)
        return encoder(weights)


@pytest.fixture(scope="module")
def sizes() -> list[tuple[int, int]]:
    """Heights and widths: each way of cutting, and whole frames."""
    return []


@pytest.fixture(scope="module")
def unpadded(weights: Path, sizes: list[tuple[int, int]]) -> OnnxEncoder:
    with pytest.MonkeyPatch.context() as patch:
        encode = UnpaddedEncoder.encode

        def noted(self: UnpaddedEncoder, frame: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
            sizes.append((height, width))
            return encode(self, frame, height, width)

        patch.setattr(UnpaddedEncoder, "encode", noted)
        return encoder(weights)


@pytest.mark.parametrize("size", [(683, SIDE), (SIDE, 700), (SIDE, SIDE), (20, SIDE)])
def test_the_embedding_is_that_of_the_published_graph(
    unpadded: OnnxEncoder, published: OnnxEncoder, sizes: list[tuple[int, int]], size: tuple[int, int]
) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    (ours,), (theirs,) = unpadded.encode([photo]), published.encode([photo])
    assert sizes[-1] == size  # so the graph was known
    difference = np.linalg.norm(ours["embedding"] - theirs["embedding"])
    assert 0 < difference < 1e-5 * np.linalg.norm(theirs["embedding"])
    np.testing.assert_allclose(ours["embedding"], theirs["embedding"], atol=1e-5)
