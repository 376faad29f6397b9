"""The mask decoder's weights and the embeddings of real photos, made once per run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from encoder_worker.backends.onnx.preprocess import normalise_and_pad
from prompt_api.models.sam1.export_form import in_export_form
from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.sam1.weights import read_export
from prompt_api.models.two_way.graph_cache import DecoderGraphs, cached_graphs
from shared.contract.geometry import Size
from shared.contract.models import MOBILE_SAM, SAM1
from tests.support.onnx import session as session_of

PHOTOS = ("astronaut", "coffee", "chelsea")
"""Square, landscape, landscape. `portrait` is an upright crop from the middle of the second."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """(height, width) of a photo, and its embedding (1, 256, 64, 64)."""

    original: Size
    embedding: NDArray[np.float32]


@pytest.fixture(scope="session")
def decoder_weights(weights: Path) -> Mapping[str, NDArray[np.float32]]:
    return read_export(weights / "sam.onnx")


@pytest.fixture(scope="session")
def graphs(
    decoder_weights: Mapping[str, NDArray[np.float32]], tmp_path_factory: pytest.TempPathFactory
) -> DecoderGraphs:
    folder = tmp_path_factory.mktemp("decoders")
    return cached_graphs(NETWORK, lambda: decoder_weights, "0" * 64, folder, export_form=in_export_form)


@pytest.fixture(scope="session")
def photos(weights: Path) -> Mapping[str, Photo]:
    session = session_of(weights / "encoder.onnx")
    # Enlarged to the size of real photos: in a mask of few pixels, one pixel counts as much as a real error.
    images = {name: getattr(skimage.data, name)().repeat(2, axis=0).repeat(2, axis=1) for name in PHOTOS}
    images["portrait"] = np.ascontiguousarray(images["coffee"][:, 300:900])

    def encoded(rgb: NDArray[np.uint8]) -> Photo:
        height, width, _ = rgb.shape
        (embedding,) = session.run(None, {"input": normalise_and_pad(SAM1.frame.resize(rgb), MOBILE_SAM)})
        return Photo((height, width), embedding)

    return {name: encoded(rgb) for name, rgb in images.items()}
