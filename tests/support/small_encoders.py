"""Small image encoders as ONNX graphs: one convolution of patches, whose result a test can compute itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

GRID = 64
"""Rows and columns of SAM's embedding."""


def patch_kernel(side: int, *, seed: int = 0, channels: int = 256) -> NDArray[np.float32]:
    """Return (channels, 3, p, p) random numbers, with patches of p = side / 64 pixels."""
    patch = side // GRID
    kernel: NDArray[np.float32] = np.random.default_rng(seed).normal(0, 0.1, (channels, 3, patch, patch)).astype("f4")
    return kernel


def write_patch_encoder(
    path: Path, kernel: NDArray[np.float32], side: int, *, batch: int | str = "N", gives: int | None = None
) -> Path:
    """Write the graph from (batch, 3, side, side) to (batch, channels, 64, 64), and return its path.

    Args:
        gives: how many embeddings the graph gives, if it does not say the same of them as of its input. It fails on
            another number of images.
    """
    channels, _, patch, _ = kernel.shape
    grid = side // patch
    node = helper.make_node("Conv", ["pixels", "kernel"], ["out"], kernel_shape=[patch, patch], strides=[patch, patch])
    nodes, values = [node], [numpy_helper.from_array(kernel, "kernel")]
    if gives is not None:
        node.output[0] = "patches"
        nodes.append(helper.make_node("Reshape", ["patches", "shape"], ["out"]))
        values.append(numpy_helper.from_array(np.array([gives, channels, grid, grid]), "shape"))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, side, side])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [gives or batch, channels, grid, grid])
    graph = helper.make_graph(nodes, "patches", [pixels], [out], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def patch_embedding(frame: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (1, channels, 64, 64): what the graph gives for (1, 3, side, side)."""
    patch = kernel.shape[-1]
    patches = frame.reshape(3, GRID, patch, GRID, patch)
    result: NDArray[np.float32] = np.einsum("cypxq,kcpq->kyx", patches, kernel, optimize=True)[None].astype("f4")
    return result
