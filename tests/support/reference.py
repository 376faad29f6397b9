"""segment_anything's own `SamPredictor`, on torch, with given weights and given embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from shared.contract.geometry import Size
from shared.contract.models import SAM1

ensure_torchvision_imports()

from segment_anything import SamPredictor  # noqa: E402  # needs the lines above
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer  # noqa: E402
from segment_anything.utils.onnx import SamOnnxModel  # noqa: E402

Floats = NDArray[np.float32]


class _NoImageEncoder(torch.nn.Module):
    """Takes the place of the image encoder: embeddings are set with `preset`."""

    img_size = SAM1.frame.side


@dataclass(frozen=True, slots=True, eq=False)
class Click:
    """One prompt in pixels of the original image, as `SamPredictor.predict` takes it."""

    points: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None
    box: NDArray[np.float64] | None = None
    mask: Floats | None = None
    multimask: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What `SamPredictor.predict` returns: (K, H, W) bool, (K,), (K, 256, 256)."""

    masks: NDArray[np.bool_]
    scores: Floats
    logits: Floats


class Reference:
    """`SamPredictor` on one image at a time."""

    def __init__(self, weights: Mapping[str, Floats], *, double: bool = False) -> None:
        """Args:
        double: compute in float64, except for the positional encoding: its float32 rounding is part of the model.
        """
        prompt_encoder = PromptEncoder(
            embed_dim=256,
            image_embedding_size=(64, 64),
            input_image_size=(SAM1.frame.side, SAM1.frame.side),
            mask_in_chans=16,
        )
        transformer = TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048)
        mask_decoder = MaskDecoder(transformer_dim=256, transformer=transformer, num_multimask_outputs=3)
        for module, prefix in ((prompt_encoder, "prompt_encoder."), (mask_decoder, "mask_decoder.")):
            own = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
            module.load_state_dict({name: torch.tensor(array) for name, array in own.items()}, strict=True)
        self.sam: Any = Sam(_NoImageEncoder(), prompt_encoder, mask_decoder).eval()
        if double:
            self.sam.double()
            prompt_encoder.pe_layer.float()
            prompt_encoder.mask_downscaling.register_forward_pre_hook(lambda _, given: (given[0].double(),))
        self._dtype = torch.float64 if double else torch.float32
        self._predictor: Any = SamPredictor(self.sam)

    def export(self) -> Any:
        """What segment_anything exports to ONNX with `return_single_mask`, as a torch module."""
        return SamOnnxModel(self.sam, return_single_mask=True)

    def preset(self, embedding: Floats, original: Size) -> None:
        """Make this the current image: `embedding` (1, 256, 64, 64) of an image of (height, width)."""
        self._predictor.reset_image()
        self._predictor.features = torch.tensor(embedding, dtype=self._dtype)
        self._predictor.original_size = original
        self._predictor.input_size = self._predictor.transform.get_preprocess_shape(*original, SAM1.frame.side)
        self._predictor.is_image_set = True

    def predict(self, click: Click) -> Answer:
        mask = None if click.mask is None else click.mask[None]
        return Answer(
            *self._predictor.predict(click.points, click.labels, click.box, mask, multimask_output=click.multimask)
        )

    def masks(self, logits: Floats) -> NDArray[np.bool_]:
        """Masks (K, H, W) of low-res logits (K, 256, 256), as `SamPredictor` resizes and thresholds them."""
        sizes = self._predictor.input_size, self._predictor.original_size
        with torch.no_grad():
            full = self.sam.postprocess_masks(torch.tensor(logits)[None], *sizes)
        return np.asarray((full[0] > self.sam.mask_threshold).numpy())
