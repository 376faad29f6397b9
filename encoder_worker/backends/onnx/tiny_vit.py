"""MobileSAM's image encoder, a TinyViT, as OpenVINO graphs that do less than the exported one, with the same result.

Weights, attention biases and epsilons come from the exported graph, by the names of its operators.
Source: mobile_sam.modeling.tiny_vit_sam.TinyViT.

What is left out:

- the padding of the frame, in the first half of the network: see `cut_frame`;
- the scale and shift of the norms, the scale of the scores and the biases of keys and values: they are folded into the
  products (a bias of the keys adds one number to all scores of a query, one of the values adds itself to all results);
- the copies that split queries, keys and values;
- the padding of windows in the product after the attention.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino.opset13 as op
from numpy.typing import NDArray
from openvino import Model
from openvino.passes import ConstantFolding, Manager

from encoder_worker.backends.onnx.cut_frame import FRAME, WINDOW

Node = Any
"""A node of OpenVINO, whose first output is meant."""

Grid = tuple[int | None, int | None]
"""Rows and columns of features; None: any multiple of the window."""

_SHAPE = "d3f34554ac6edc5bb1a6173a6f8286df6365e3b79422468e6d783324dc4b00e4"
"""SHA-256 of the exported graph's operators, see `_shape_of`."""

_OUTPUT = "output"
"""The name of the last operator."""

_EARLY: Grid = (128, 128)
_LATE: Grid = (64, 64)
_CHANNELS = (128, 160, 320, 256)
_HEAD_WIDTH = 32
_BLOCKS = (2, 6, 2)
"""Blocks with attention in the three layers that have them."""

_WINDOWS = (WINDOW, 14, 7)


class TinyVit:
    """Builds graphs with the weights of an exported encoder. Features are (1, rows, columns, channels) float32."""

    def __init__(self, exported: Model) -> None:
        """Args:
        exported: the exported encoder with an input of (1, 3, 1024, 1024). Its constants are folded.
        """
        manager = Manager()
        manager.register_pass(ConstantFolding())
        manager.run_passes(exported)
        self._nodes = {node.get_friendly_name(): node for node in exported.get_ordered_ops()}

    @property
    def is_known(self) -> bool:
        """True if the exported graph is that of MobileSAM, whatever its weights are."""
        return _shape_of(self._nodes.values()) == _SHAPE

    def empty(self) -> Model:
        """From a frame to all features that `cut` needs of the empty frame, in the order of `Cut.blank`."""
        frame = op.parameter([1, 3, FRAME, FRAME], np.float32)
        needed: list[Node] = []

        def noted(features: Node) -> Node:
            needed.append(features)
            return features

        result = self._first_half(frame, _EARLY, before=noted)
        return Model([op.result(one) for one in [*needed, result]], [frame], "empty")

    def whole(self) -> Model:
        """From a frame (1, 3, 1024, 1024) to the features (1, 64, 64, 160) in the middle of the network."""
        frame = op.parameter([1, 3, FRAME, FRAME], np.float32)
        return Model([op.result(self._first_half(frame, _EARLY))], [frame], "whole")

    def cut(self, axis: int) -> Model:
        """The same from the part of the frame that `Cut.size` names, and from the features that `Cut.blank` names.

        Args:
            axis: of the features, along which the frame is cut: 1 for rows, 2 for columns.
        """
        shape = [1, 3, FRAME, FRAME]
        shape[axis + 1] = -1
        inputs = [op.parameter(shape, np.float32)]

        def extended(features: Node, channels: int = _CHANNELS[0], side: int = FRAME // 8) -> Node:
            piece = [1, side, side, channels]
            piece[axis] = -1
            inputs.append(op.parameter(piece, np.float32))
            return op.concat([features, inputs[-1]], axis)

        def trimmed(features: Node) -> Node:
            """Leave out the last row, which lacks the neighbour that it has in the whole frame."""
            return op.slice(features, _integers(0), _integers(-1), _integers(1), _integers(axis))

        grid: Grid = (None, 128) if axis == 1 else (128, None)
        result = self._first_half(inputs[0], grid, before=extended, after=trimmed)
        return Model([op.result(extended(result, _CHANNELS[1], FRAME // 16))], inputs, "cut")

    def second_half(self) -> Model:
        """From the features (1, 64, 64, 160) to the embedding (1, 256, 64, 64)."""
        features = start = op.parameter([1, 64, 64, _CHANNELS[1]], np.float32)
        for block in range(_BLOCKS[1]):
            features = self._block(features, f"/layers.2/blocks.{block}", _LATE, _WINDOWS[1])
        features = _channels_last(self._downsampled(_channels_first(features), 2, stride=1))
        for block in range(_BLOCKS[2]):
            features = self._block(features, f"/layers.3/blocks.{block}", _LATE, _WINDOWS[2])
        image = self._neck(_channels_first(features), "/neck/neck.0/Conv", "/neck/neck.1", "/neck/neck.1/Add_1")
        image = self._neck(image, "/neck/neck.2/Conv", "/neck/neck.3", _OUTPUT)
        return Model([op.result(image)], [start], "second half")

    def _first_half(
        self,
        frame: Node,
        grid: Grid,
        *,
        before: Callable[[Node], Node] = lambda features: features,
        after: Callable[[Node], Node] = lambda features: features,
    ) -> Node:
        features = after(_channels_last(self._stem(frame)))
        for block in range(_BLOCKS[0]):
            name = f"/layers.1/blocks.{block}"
            features = self._attention(before(features), f"{name}/attn", grid, _WINDOWS[0])
            features = self._perceptron(after(self._local(before(features), name)), f"{name}/mlp", grid)
        return _channels_last(self._downsampled(_channels_first(before(features)), 1, stride=2))

    def _stem(self, frame: Node) -> Node:
        image = _gelu(self._convolved(frame, "/patch_embed/seq/seq.0/c/Conv", 2))
        image = self._convolved(image, "/patch_embed/seq/seq.2/c/Conv", 2)
        for block in range(2):
            name = f"/layers.0/blocks.{block}/conv"
            wide = _gelu(self._convolved(image, f"{name}1/c/Conv"))
            wide = _gelu(self._convolved(wide, f"{name}2/c/Conv"))
            image = _gelu(op.add(self._convolved(wide, f"{name}3/c/Conv"), image))
        return self._downsampled(image, 0, stride=2)

    def _downsampled(self, image: Node, layer: int, *, stride: int) -> Node:
        name = f"/layers.{layer}/downsample/conv"
        image = _gelu(self._convolved(image, f"{name}1/c/Conv"))
        image = _gelu(self._convolved(image, f"{name}2/c/Conv", stride))
        return self._convolved(image, f"{name}3/c/Conv")

    def _block(self, features: Node, name: str, grid: Grid, window: int) -> Node:
        features = self._attention(features, f"{name}/attn", grid, window)
        return self._perceptron(self._local(features, name), f"{name}/mlp", grid)

    def _attention(self, features: Node, name: str, grid: Grid, window: int) -> Node:
        """Attention within each window, and its input added."""
        scale, shift = self._norm(f"{name}/norm")
        product, bias = self._linear(f"{name}/qkv")
        channels = len(scale)
        heads = channels // _HEAD_WIDTH
        parts = (scale[:, None] * product).reshape(channels, heads, 3, _HEAD_WIDTH)
        biases = (shift @ product + bias).reshape(heads, 3, _HEAD_WIDTH)
        softness = float(self._constant(f"{name}/Mul"))
        last, last_bias = self._linear(f"{name}/proj")

        padded = tuple(side if side is None else -(-side // window) * window for side in grid)
        missing = [(big or 0) - (side or 0) for big, side in zip(padded, grid, strict=True)]
        windows = [-1 if side is None else side // window for side in padded]
        tokens = self._normalised(features, name, channels)
        if any(missing):  # a token of the padding is zero before the norm, so also after it
            tokens = _shaped(tokens, grid, channels)
            tokens = op.pad(tokens, _integers(0, 0, 0, 0), _integers(0, *missing, 0), "constant", _floats(0))
            tokens = _flat(tokens, channels)

        def in_windows(index: int, factor: float = 1.0) -> Node:
            values = op.matmul(tokens, _floats(parts[:, :, index].reshape(channels, channels) * factor), False, False)
            if index == 0:
                values = op.add(values, _floats(biases[:, 0].reshape(-1) * factor))
            split = (windows[0], window, windows[1], window, heads, _HEAD_WIDTH)
            values = op.transpose(op.reshape(values, _integers(*split), False), _integers(0, 2, 4, 1, 3, 5))
            return op.reshape(values, _integers(-1, heads, window * window, _HEAD_WIDTH), False)

        scores = op.matmul(in_windows(0, softness), in_windows(1), False, True)
        shares = op.softmax(op.add(scores, _floats(self._constant(f"{name}/Add")[None])), 3)
        mixed = op.matmul(shares, in_windows(2), False, False)
        mixed = op.reshape(mixed, _integers(*windows, heads, window, window, _HEAD_WIDTH), False)
        mixed = _shaped(op.transpose(mixed, _integers(0, 3, 1, 4, 2, 5)), padded, channels)
        for axis, (lack, side) in enumerate(zip(missing, grid, strict=True), start=1):
            if lack:
                mixed = op.slice(mixed, _integers(0), _integers(side or 0), _integers(1), _integers(axis))
        result = op.matmul(_flat(mixed, channels), _floats(last), False, False)
        result = op.add(result, _floats(last_bias + biases[:, 2].reshape(-1) @ last))
        return _shaped(op.add(_flat(features, channels), result), grid, channels)

    def _perceptron(self, features: Node, name: str, grid: Grid) -> Node:
        scale, shift = self._norm(f"{name}/norm")
        (first, first_bias), (second, second_bias) = self._linear(f"{name}/fc1"), self._linear(f"{name}/fc2")
        channels = len(scale)
        wide = op.matmul(self._normalised(features, name, channels), _floats(scale[:, None] * first), False, False)
        wide = _gelu(op.add(wide, _floats(shift @ first + first_bias)))
        result = op.add(op.matmul(wide, _floats(second), False, False), _floats(second_bias))
        return _shaped(op.add(_flat(features, channels), result), grid, channels)

    def _normalised(self, features: Node, name: str, channels: int) -> Node:
        """(1, tokens, channels). OpenVINO is slow if features have more axes here."""
        return _mean_and_variance(_flat(features, channels), float(self._constant(f"{name}/norm/Add")))

    def _local(self, features: Node, name: str) -> Node:
        return _channels_last(self._convolved(_channels_first(features), f"{name}/local_conv/c/Conv"))

    def _neck(self, image: Node, product: str, norm: str, shift: str) -> Node:
        kernel = self._constant(product)
        edge = [kernel.shape[-1] // 2] * 2
        image = op.convolution(image, _floats(kernel), [1, 1], edge, edge, [1, 1])
        channels = _CHANNELS[3]
        tokens = _mean_and_variance(_flat(_channels_last(image), channels), float(self._constant(f"{norm}/Add")))
        scaled = op.multiply(tokens, _floats(self._constant(f"{norm}/Mul").ravel()))
        return _channels_first(_shaped(op.add(scaled, _floats(self._constant(shift).ravel())), _LATE, channels))

    def _convolved(self, image: Node, name: str, stride: int = 1) -> Node:
        kernel = self._constant(f"{name}/WithoutBiases")
        make = op.group_convolution if kernel.ndim == 5 else op.convolution
        edge = [kernel.shape[-1] // 2] * 2
        result = make(image, _floats(kernel), [stride, stride], edge, edge, [1, 1])
        return op.add(result, _floats(self._constant(name)))

    def _linear(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._constant(f"{name}/MatMul"), self._constant(f"{name}/Add")

    def _norm(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._constant(f"{name}/Mul"), self._constant(f"{name}/Add_1")

    def _constant(self, name: str) -> NDArray[np.float32]:
        """The constant that the operator of this name takes."""
        inputs = (value.get_node() for value in self._nodes[name].input_values())
        (constant,) = (np.array(one.get_data()) for one in inputs if one.get_type_name() == "Constant")
        return constant


def _shape_of(nodes: Any) -> str:
    """SHA-256 of all operators with their names and the shapes of their results, in an order of their own."""

    def line(node: Any) -> str:
        name = node.get_friendly_name()
        kept = name if name.startswith("/") or name == _OUTPUT else ""  # OpenVINO numbers the others as it likes
        return f"{node.get_type_name()} {kept} {node.get_output_partial_shape(0)}"

    lines = sorted(line(node) for node in nodes if node.get_type_name() not in ("Constant", "Result"))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _mean_and_variance(tokens: Node, epsilon: float) -> Node:
    return op.mvn(tokens, _integers(-1), True, epsilon, "inside_sqrt")


def _gelu(features: Node) -> Node:
    return op.gelu(features, "ERF")


def _flat(features: Node, channels: int) -> Node:
    return op.reshape(features, _integers(1, -1, channels), False)


def _shaped(tokens: Node, grid: tuple[int | None, ...], channels: int) -> Node:
    return op.reshape(tokens, _integers(1, *(-1 if side is None else side for side in grid), channels), False)


def _channels_first(features: Node) -> Node:
    return op.transpose(features, _integers(0, 3, 1, 2))


def _channels_last(image: Node) -> Node:
    return op.transpose(image, _integers(0, 2, 3, 1))


def _floats(values: Any) -> Node:
    return op.constant(np.array(values, dtype=np.float32, order="C"))


def _integers(*values: int) -> Node:
    return op.constant(np.array(values, dtype=np.int64))
