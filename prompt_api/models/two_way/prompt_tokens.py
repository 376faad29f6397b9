"""Graph pieces of segment_anything's PromptEncoder, shared by the unsplit and the split decoder."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.onnx.graph import Graph
from prompt_api.models.two_way.network import Network
from prompt_api.models.two_way.weights import Weights


def dense_positions(weights: Weights, grid: int) -> NDArray[np.float64]:
    """Return the positional encoding of each place of the embedding, (grid * grid, 256), row by row.

    Angles are float32, as in segment_anything. At 50 radians, that rounds by 2e-6, far more than the other steps do.

    Source: PromptEncoder.get_dense_pe.
    """
    gaussian = weights["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    centres = (2 * (np.arange(grid) + 0.5) / grid - 1).astype(np.float32)
    x, y = (axis.reshape(-1, 1) for axis in np.meshgrid(centres, centres))
    # This rounds as a matrix product does: first the first term, then the sum.
    turns = ((x * gaussian[0]).astype(np.float64) + y.astype(np.float64) * gaussian[1]).astype(np.float32)
    angles = (np.float32(2 * math.pi) * turns).astype(np.float64)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


def output_tokens(weights: Weights, network: Network) -> NDArray[np.float32]:
    """Return the tokens that come before those of the prompt, (T, 256): `Network.leading`, then the mask tokens."""
    names = [*network.leading, "mask_tokens"]
    return np.concatenate([weights[f"mask_decoder.{name}.weight"] for name in names])


def sparse_tokens(graph: Graph, weights: Weights, side: int, coordinates: str, labels: str) -> str:
    """Return embeddings (..., N, 256) of points (..., N, 2) with labels (..., N), both float32.

    The points are in the frame, whose length is `side`.
    Labels: 1 foreground, 0 background, 2 and 3 the corners of a box, -1 padding.
    Source: PromptEncoder._embed_points and _embed_boxes.
    """
    gaussian = weights["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    centred = graph.op("Add", coordinates, graph.floats(0.5))
    unit = graph.op("Sub", graph.op("Mul", centred, graph.floats(2 / side)), graph.floats(1))
    turns = graph.op("MatMul", unit, graph.floats(gaussian))
    angles = graph.op("Mul", turns, graph.floats(2 * math.pi))
    encoded = graph.op("Concat", graph.op("Sin", angles), graph.op("Cos", angles), axis=-1)

    column = graph.op("Unsqueeze", labels, graph.integers(-1))
    embeddings = [weights["prompt_encoder.not_a_point_embed.weight"]]
    embeddings += [weights[f"prompt_encoder.point_embeddings.{index}.weight"] for index in range(4)]
    known = graph.floats([-1, 0, 1, 2, 3])
    one_hot = graph.op("Cast", graph.op("Equal", column, known), to=1)
    meaning = graph.op("MatMul", one_hot, graph.floats(np.concatenate(embeddings)))
    is_point = graph.op("Cast", graph.op("Not", graph.op("Equal", column, graph.floats(-1))), to=1)
    return graph.op("Add", graph.op("Mul", encoded, is_point), meaning)


def mask_features(graph: Graph, weights: Weights, mask: str) -> str:
    """Return features (B, 16, 64, 64) of low-res logits (B, 1, 256, 256), before the last, pointwise convolution.

    Source: PromptEncoder.mask_downscaling.
    """
    value = mask
    for convolution, norm in ((0, 1), (3, 4)):
        prefix = f"prompt_encoder.mask_downscaling.{convolution}"
        kernel, bias = graph.floats(weights[f"{prefix}.weight"]), graph.floats(weights[f"{prefix}.bias"])
        value = graph.op("Conv", value, kernel, bias, kernel_shape=[2, 2], strides=[2, 2])
        value = graph.op("Transpose", value, perm=[0, 2, 3, 1])
        value = layer_norm(graph, weights, f"prompt_encoder.mask_downscaling.{norm}", value, epsilon=1e-6)
        value = graph.op("Transpose", gelu(graph, value), perm=[0, 3, 1, 2])
    return value


def layer_norm(graph: Graph, weights: Weights, prefix: str, value: str, *, epsilon: float = 1e-5) -> str:
    """Apply LayerNorm over the last axis. The default epsilon is torch's; segment_anything's LayerNorm2d has 1e-6."""
    scale, bias = graph.floats(weights[f"{prefix}.weight"]), graph.floats(weights[f"{prefix}.bias"])
    return graph.op("LayerNormalization", value, scale, bias, axis=-1, epsilon=epsilon)


def gelu(graph: Graph, value: str) -> str:
    """Apply the exact GELU in standard operators, which ONNX Runtime fuses into one."""
    error = graph.op("Erf", graph.op("Div", value, graph.floats(math.sqrt(2))))
    return graph.op("Mul", graph.op("Mul", value, graph.op("Add", error, graph.floats(1))), graph.floats(0.5))
