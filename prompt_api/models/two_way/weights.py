"""The weights of a prompt encoder and mask decoder, under segment_anything's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.two_way.network import Network
from shared.contract.errors import WeightsError

Weights = Mapping[str, NDArray[np.float32]]
"""Arrays under segment_anything's state_dict names, from `prompt_encoder.` and `mask_decoder.` on."""

LAYERS = 2
"""Blocks of the two-way transformer."""

MASKS = 4
"""Mask tokens: the single mask, then the three of multimask."""


def checked_against(
    weights: Mapping[str, NDArray[np.floating]], shapes: Mapping[str, tuple[int, ...]], title: str
) -> dict[str, NDArray[np.float32]]:
    """Return exactly the arrays that `shapes` names, as contiguous float32. Others are dropped.

    Args:
        title: what the weights should be, as the errors call it.

    Raises:
        WeightsError: an array is missing, has another shape, or holds values that are not finite.
    """
    missing = [name for name in shapes if name not in weights]
    if missing:
        raise WeightsError(f"not a {title}: {len(missing)} weights are missing, the first is {missing[0]}")
    result = {}
    for name, shape in shapes.items():
        array = np.ascontiguousarray(weights[name], dtype=np.float32)
        if array.shape != shape:
            raise WeightsError(f"not a {title}: {name} has shape {array.shape}, not {shape}")
        if not np.isfinite(array).all():
            raise WeightsError(f"damaged weights: {name} holds values that are not finite")
        result[name] = array
    return result


def expected_shapes(network: Network) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the shape of each array that the decoder of `network` needs."""
    yield "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", (2, 128)
    for index in range(4):
        yield f"prompt_encoder.point_embeddings.{index}.weight", (1, 256)
    yield "prompt_encoder.not_a_point_embed.weight", (1, 256)
    yield "prompt_encoder.no_mask_embed.weight", (1, 256)
    for index, convolution in ((0, (4, 1, 2, 2)), (3, (16, 4, 2, 2)), (6, (256, 16, 1, 1))):
        yield from _pair(f"prompt_encoder.mask_downscaling.{index}", convolution, convolution[0])
    yield from _pair("prompt_encoder.mask_downscaling.1", (4,), 4)
    yield from _pair("prompt_encoder.mask_downscaling.4", (16,), 16)

    for token in network.leading:
        yield f"mask_decoder.{token}.weight", (1, 256)
    yield "mask_decoder.mask_tokens.weight", (MASKS, 256)
    for index in range(LAYERS):
        layer = f"mask_decoder.transformer.layers.{index}"
        yield from _attention(f"{layer}.self_attn", 256)
        yield from _attention(f"{layer}.cross_attn_token_to_image", 128)
        yield from _attention(f"{layer}.cross_attn_image_to_token", 128)
        yield from _pair(f"{layer}.mlp.lin1", (2048, 256), 2048)
        yield from _pair(f"{layer}.mlp.lin2", (256, 2048), 256)
        for norm in range(1, 5):
            yield from _pair(f"{layer}.norm{norm}", (256,), 256)
    yield from _attention("mask_decoder.transformer.final_attn_token_to_image", 128)
    yield from _pair("mask_decoder.transformer.norm_final_attn", (256,), 256)

    yield from _pair("mask_decoder.output_upscaling.0", (256, 64, 2, 2), 64)
    yield from _pair("mask_decoder.output_upscaling.1", (64,), 64)
    yield from _pair("mask_decoder.output_upscaling.3", (64, 32, 2, 2), 32)
    for index in range(MASKS):
        yield from _mlp(f"mask_decoder.output_hypernetworks_mlps.{index}", 32)
    yield from _mlp("mask_decoder.iou_prediction_head", MASKS)


def _pair(prefix: str, weight: tuple[int, ...], bias: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.weight", weight
    yield f"{prefix}.bias", (bias,)


def _attention(prefix: str, internal: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for projection in ("q_proj", "k_proj", "v_proj"):
        yield from _pair(f"{prefix}.{projection}", (internal, 256), internal)
    yield from _pair(f"{prefix}.out_proj", (256, internal), 256)


def _mlp(prefix: str, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for index, size in enumerate((256, 256, outputs)):
        yield from _pair(f"{prefix}.layers.{index}", (size, 256), size)
