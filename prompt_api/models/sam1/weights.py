"""The weights of segment_anything's prompt encoder and mask decoder, recovered from its stock ONNX export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from shared.contract.errors import WeightsError

Weights = Mapping[str, NDArray[np.float32]]
"""Arrays under segment_anything's state_dict names, from `prompt_encoder.` and `mask_decoder.` on."""

LAYERS = 2
"""Blocks of the two-way transformer."""

MASKS = 4
"""Mask tokens: the single mask, then the three of multimask."""


def read_export(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the weights in an ONNX file written by segment_anything's `scripts/export_onnx_model.py`.

    The export keeps most names. It renames three kinds of arrays, which are found by their place or shape: the
    transposed weight of each Linear (the constant of the product whose bias is added next), the weights and biases
    of LayerNorm2d, and the embeddings without a position (`no_mask_embed`, the output tokens).

    Raises:
        WeightsError: the file cannot be read, or is not an export of this kind.
    """
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf raises its own errors, whose types cannot be imported
        raise WeightsError(f"{path} cannot be read as an ONNX file: {error}") from error
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {name.removeprefix("model."): array for name, array in constants.items() if "::" not in name}
    found.update(_linear_weights(graph, constants))
    found.update(_unnamed_by_shape(constants))
    return checked(found)


def checked(weights: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.float32]]:
    """Return exactly the arrays that the mask decoder needs, as contiguous float32. Others are dropped.

    Raises:
        WeightsError: an array is missing, has another shape than SAM's, or holds values that are not finite.
    """
    shapes = dict(expected_shapes())
    missing = [name for name in shapes if name not in weights]
    if missing:
        raise WeightsError(f"not a SAM mask decoder: {len(missing)} weights are missing, the first is {missing[0]}")
    result = {}
    for name, shape in shapes.items():
        array = np.ascontiguousarray(weights[name], dtype=np.float32)
        if array.shape != shape:
            raise WeightsError(f"not a SAM mask decoder: {name} has shape {array.shape}, not {shape}")
        if not np.isfinite(array).all():
            raise WeightsError(f"damaged weights: {name} holds values that are not finite")
        result[name] = array
    return result


def _linear_weights(
    graph: onnx.GraphProto, constants: Mapping[str, NDArray[np.float32]]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for bias, product in (node.input, reversed(node.input)):
            weight = constants.get(products.get(product, ""))
            if bias.endswith(".bias") and weight is not None:
                yield bias.removeprefix("model.").removesuffix("bias") + "weight", weight.T


def _unnamed_by_shape(constants: Mapping[str, NDArray[np.float32]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    norms = {
        (4, 1, 1): "prompt_encoder.mask_downscaling.1",
        (16, 1, 1): "prompt_encoder.mask_downscaling.4",
        (64, 1, 1): "mask_decoder.output_upscaling.1",
    }
    for name, array in constants.items():
        if "::" not in name:
            continue
        if array.shape in norms:
            kind = "weight" if name.startswith("onnx::Mul_") else "bias"
            yield f"{norms[array.shape]}.{kind}", array.reshape(-1)
        elif array.shape == (1, 256, 1, 1):
            yield "prompt_encoder.no_mask_embed.weight", array.reshape(1, 256)
        elif array.shape == (1, 1 + MASKS, 256):
            yield "mask_decoder.iou_token.weight", array[0, :1]
            yield "mask_decoder.mask_tokens.weight", array[0, 1:]


def expected_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", (2, 128)
    for index in range(4):
        yield f"prompt_encoder.point_embeddings.{index}.weight", (1, 256)
    yield "prompt_encoder.not_a_point_embed.weight", (1, 256)
    yield "prompt_encoder.no_mask_embed.weight", (1, 256)
    for index, convolution in ((0, (4, 1, 2, 2)), (3, (16, 4, 2, 2)), (6, (256, 16, 1, 1))):
        yield from _pair(f"prompt_encoder.mask_downscaling.{index}", convolution, convolution[0])
    yield from _pair("prompt_encoder.mask_downscaling.1", (4,), 4)
    yield from _pair("prompt_encoder.mask_downscaling.4", (16,), 16)

    yield "mask_decoder.iou_token.weight", (1, 256)
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
