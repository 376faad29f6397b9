"""The names of a network's tensors in Meta's checkpoints, from their names in transformers.

Both are the same network. Meta's modules are those of sam2.modeling; transformers gives some of them other names.
"""

from __future__ import annotations

import re

POSITIONS = ("prompt_encoder.shared_embedding.positional_embedding", "shared_image_embedding.positional_embedding")
"""transformers' two copies of the one matrix that encodes positions."""

DECODER = ("prompt_encoder.", "mask_decoder.")
"""How transformers' names of the prompt encoder and the mask decoder begin."""

TRACKER = (
    "maskmem_tpos_enc",
    "mask_downsample",
    "memory_",
    "no_mem_pos_enc",
    "no_memory_positional_encoding",
    "no_obj_",
    "no_object_pointer",
    "obj_ptr_",
    "object_pointer_proj",
    "occlusion_spatial_embedding_parameter",
    "spatial_perceiver",
    "temporal_positional_encoding_projection_layer",
)
"""How names of both kinds begin that belong to the tracker for videos. Single images do not need it."""

_POINT_LABELS = 4
"""Background, foreground, and the two corners of a box."""

_PARTS = (
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"^vision_encoder\.backbone\.timm_model\.", "image_encoder.trunk.body."),
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
)

_MODULES = (
    (r"^(image_encoder\.trunk\.)patch_embed\.projection\.", r"\1patch_embed.proj."),
    (r"^(image_encoder\.trunk\.blocks\.\d+\.)layer_norm([12])\.", r"\1norm\2."),
    (r"^(sam_prompt_encoder\.)mask_embed\.conv1\.", r"\1mask_downscaling.0."),
    (r"^(sam_prompt_encoder\.)mask_embed\.layer_norm1\.", r"\1mask_downscaling.1."),
    (r"^(sam_prompt_encoder\.)mask_embed\.conv2\.", r"\1mask_downscaling.3."),
    (r"^(sam_prompt_encoder\.)mask_embed\.layer_norm2\.", r"\1mask_downscaling.4."),
    (r"^(sam_prompt_encoder\.)mask_embed\.conv3\.", r"\1mask_downscaling.6."),
    (r"^(sam_mask_decoder\.transformer\.layers\.\d+\.)layer_norm([1-4])\.", r"\1norm\2."),
    (r"^(sam_mask_decoder\.transformer\.)layer_norm_final_attn\.", r"\1norm_final_attn."),
    (r"^(sam_mask_decoder\.transformer\..*)\.o_proj\.", r"\1.out_proj."),
    (r"^(sam_mask_decoder\.)upscale_conv1\.", r"\1output_upscaling.0."),
    (r"^(sam_mask_decoder\.)upscale_layer_norm\.", r"\1output_upscaling.1."),
    (r"^(sam_mask_decoder\.)upscale_conv2\.", r"\1output_upscaling.3."),
)

_TWO_LAYERS = r"^((?:image_encoder\.trunk\.blocks|sam_mask_decoder\.transformer\.layers)\.\d+\.mlp\.)"
_THREE_LAYERS = r"^(sam_mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head)\.)"
"""The perceptrons. transformers counts only their inner layers, from 0."""

_LAYERS = (
    (rf"{_TWO_LAYERS}proj_in\.", r"\1layers.0."),
    (rf"{_TWO_LAYERS}proj_out\.", r"\1layers.1."),
    (rf"{_THREE_LAYERS}layers\.0\.", r"\1layers.1."),  # before the next rule, which makes a new `layers.0`
    (rf"{_THREE_LAYERS}proj_in\.", r"\1layers.0."),
    (rf"{_THREE_LAYERS}proj_out\.", r"\1layers.2."),
)


def meta_names(name: str) -> tuple[str, ...]:
    """Return Meta's names for the tensor that transformers' `Sam2Model` and `EdgeTamModel` call `name`.

    It is one name, except for the embeddings of the four point labels: transformers has them in one tensor of (4, 256),
    Meta has four of (1, 256), in the same order.
    """
    if name in POSITIONS:
        return ("sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",)
    if name == "prompt_encoder.point_embed.weight":
        return tuple(f"sam_prompt_encoder.point_embeddings.{label}.weight" for label in range(_POINT_LABELS))
    for pattern, replacement in (*_PARTS, *_MODULES, *_LAYERS):
        name = re.sub(pattern, replacement, name)
    return (name,)
