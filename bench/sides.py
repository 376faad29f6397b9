"""The two sides of the comparison in one process: the service's own stages, and segment_anything on torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench import cores
from bench.clicks import decoder_prompt
from prompt_api.masks.encode import encode_masks
from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.models.interface import DecodedMasks, PreparedImage
from prompt_api.models.load import load_decoder
from prompt_api.models.sam1.boundary import mask_runs
from prompt_api.models.sam1.weights import read_export
from shared.contract.geometry import Size
from shared.contract.models import EMBEDDING, MOBILE_SAM
from shared.contract.settings import Settings
from shared.weights.locate import locate_weights
from tests.support.reference import Click, Reference

Floats = NDArray[np.float32]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """In the block, torch and this thread use the last `count` of the available cores."""
    before = torch.get_num_threads()
    with cores.running_on(cores.available()[-count:]):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


class Ours:
    """The service's decoder and mask writers, without HTTP. Create it inside `threads`."""

    def __init__(self, settings: Settings, *, threads: int) -> None:
        self._decoder = load_decoder(MOBILE_SAM, replace(settings, decoder_threads=threads)).decoder
        self._image: Any = None
        self._size: Size = (0, 0)

    def preset(self, embedding: Floats, size: Size) -> PreparedImage:
        """Make this the current image.

        Args:
            embedding: (1, 256, 64, 64).
            size: (height, width) of the image.
        """
        self._size = size
        self._image = self._decoder.prepare({EMBEDDING: embedding}, size)
        prepared: PreparedImage = self._image
        return prepared

    def decode(self, click: Click, *, padding: bool) -> DecodedMasks:
        prompt = decoder_prompt(click, self._size)
        (masks,) = self._decoder.decode(self._image, [prompt], multimask=click.multimask, padding=padding)
        return masks

    def predict(self, click: Click) -> list[EncodedMask]:
        """Masks as RLE, decoded in the same way as the service decodes a first prompt."""
        return encode_masks(mask_runs, self.decode(click, padding=False).logits, self._size, MaskFormat.RLE)


class Theirs:
    """`SamPredictor`, as a whole and its decoder alone."""

    def __init__(self, settings: Settings) -> None:
        self.predictor = Reference(read_export(locate_weights(MOBILE_SAM, settings).folder / "sam.onnx"))
        self._features: Any = None
        self._size: Size = (0, 0)

    def preset(self, embedding: Floats, size: Size) -> None:
        self.predictor.preset(embedding, size)
        self._features, self._size = torch.tensor(embedding), size

    def decode(self, click: Click) -> None:
        """Run prompt encoder and mask decoder for a click of points, as `SamPredictor.predict_torch` does."""
        sam, prompt = self.predictor.sam, decoder_prompt(click, self._size)
        points = torch.tensor(prompt.points)[None], torch.tensor(prompt.labels)[None]
        with torch.no_grad():
            sparse, dense = sam.prompt_encoder(points=points, boxes=None, masks=None)
            sam.mask_decoder(
                image_embeddings=self._features,
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=click.multimask,
            )


def ious(ours: Sequence[NDArray[np.bool_]], theirs: Sequence[NDArray[np.bool_]]) -> list[float]:
    """Intersection over union of each pair of (H, W) masks; 1 for two empty ones."""
    found = []
    for one, other in zip(ours, theirs, strict=True):
        union = int((one | other).sum())
        found.append(1.0 if union == 0 else int((one & other).sum()) / union)
    return found
