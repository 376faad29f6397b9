"""Gives SAM's tensors in transformers' form the names that segment_anything has for them.

Both are the same network. Source: `SamModel` in transformers, and the modules of segment_anything.modeling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

SIGN = "mask_decoder.upscale_conv1.weight"
"""A name that a state dict has only in transformers' form."""

WEIGHTS_FILE = "model.safetensors"
"""The file of a folder in transformers' form that holds the tensors."""

_Array = TypeVar("_Array")

_POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_WHOLE = {
    "shared_image_embedding.positional_embedding": _POSITIONS,
    "prompt_encoder.shared_embedding.positional_embedding": _POSITIONS,  # the same tensor under its second name
}
_PARTS = (
    (r"^vision_encoder\.", "image_encoder."),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"\.layer_norm(\d|_final_attn)\.", r".norm\1."),
)
"""Parts of names in transformers' form and what they are in segment_anything, in this order."""

_OF_AN_MLP = re.compile(r"(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.(proj_in|layers\.0|proj_out)\.")
_LAYERS = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}


def in_own_names(state: Mapping[str, _Array]) -> dict[str, _Array]:
    """Return a state dict of SAM by segment_anything's names. One that has them already is returned as it is."""
    if SIGN not in state:
        return dict(state)
    return {own_name(name): tensor for name, tensor in state.items()}


def own_name(name: str) -> str:
    """Return segment_anything's name of a tensor of SAM in transformers' form."""
    if name in _WHOLE:
        return _WHOLE[name]
    name = _OF_AN_MLP.sub(lambda match: f"{match[1]}.{_LAYERS[match[2]]}.", name)
    for part, own in _PARTS:
        name = re.sub(part, own, name)
    return name
