"""The whole prompt encoder and mask decoder as one plain ONNX graph, for clients, and as the oracle of the tests."""

from __future__ import annotations

import math

import onnx

from prompt_api.models.onnx.graph import Graph
from prompt_api.models.two_way.folding import HEADS, WIDTH
from prompt_api.models.two_way.network import Network
from prompt_api.models.two_way.prompt_tokens import (
    dense_positions,
    gelu,
    layer_norm,
    mask_features,
    output_tokens,
    sparse_tokens,
)
from prompt_api.models.two_way.weights import LAYERS, MASKS, Weights
from shared.contract.models import HIGH_RES_S0, HIGH_RES_S1


def build_unsplit(network: Network, weights: Weights) -> onnx.ModelProto:
    """Build PromptEncoder and MaskDecoder of the network, layer by layer, in standard operators of opset 17.

    Inputs, all float32 (B prompts on one image; the sizes are SAM's):
        image_embeddings (1, 256, 64, 64), and the other tensors of the image embedding under their own names.
        point_coords (B, N, 2), in the frame of the resized image, and point_labels (B, N): 1 foreground, 0
            background, 2 and 3 the corners of a box, -1 the padding point. They are in the order of the network, which
            also decides whether there is a padding point. N is 0 for a mask alone.
        mask_input (B or 1, 1, 256, 256) and has_mask_input (B or 1): 1 to use it, 0 to ignore it.

    Outputs: low_res_masks (B, 4, 256, 256), the single mask first, and iou_predictions (B, 4).
    """
    return _Unsplit(network, weights).build()


class _Unsplit:
    def __init__(self, network: Network, weights: Weights) -> None:
        self._network = network
        self._weights = weights
        self._graph = Graph("sam_mask_decoder")

    def build(self) -> onnx.ModelProto:
        graph, network = self._graph, self._network
        grid, side, leading = network.grid, network.low_res_side, len(network.leading)
        embedding = graph.input("image_embeddings", [1, WIDTH, grid, grid])
        coordinates = graph.input("point_coords", ["prompts", "points", 2])
        labels = graph.input("point_labels", ["prompts", "points"])
        mask = graph.input("mask_input", ["masks", 1, side, side])
        has_mask = graph.input("has_mask_input", ["flags"])

        sparse = sparse_tokens(graph, self._weights, network.side, coordinates, labels)
        points = self._tokens(sparse, coordinates)
        image = graph.op("Add", embedding, self._dense(mask, has_mask))
        keys = graph.op("Transpose", graph.reshape(image, 0, WIDTH, network.places), perm=[0, 2, 1])
        queries, keys = self._transformer(points, keys)
        iou_token, mask_tokens = graph.split(
            graph.op("Slice", queries, graph.integers(leading - 1), graph.integers(leading + MASKS), graph.integers(1)),
            [1, MASKS],
            axis=1,
        )
        graph.output("low_res_masks", self._masks(mask_tokens, keys), ["prompts", MASKS, side, side])
        scores = self._mlp("mask_decoder.iou_prediction_head", graph.reshape(iou_token, -1, WIDTH))
        scores = graph.op("Sigmoid", scores) if network.sigmoid_scores else scores
        graph.output("iou_predictions", scores, ["prompts", MASKS])
        return graph.model()

    def _tokens(self, sparse: str, coordinates: str) -> str:
        graph = self._graph
        output = output_tokens(self._weights, self._network)
        prompts = graph.op("Slice", graph.op("Shape", coordinates), graph.integers(0), graph.integers(1))
        shape = graph.op("Concat", prompts, graph.integers(len(output), WIDTH), axis=0)
        return graph.op("Concat", graph.op("Expand", graph.floats(output), shape), sparse, axis=1)

    def _dense(self, mask: str, has_mask: str) -> str:
        graph = self._graph
        prefix = "prompt_encoder.mask_downscaling.6"
        kernel, bias = self._constant(f"{prefix}.weight"), self._constant(f"{prefix}.bias")
        given = graph.op("Conv", mask_features(graph, self._weights, mask), kernel, bias, kernel_shape=[1, 1])
        absent = graph.floats(self._weights["prompt_encoder.no_mask_embed.weight"].reshape(1, WIDTH, 1, 1))
        flag = graph.op("Cast", graph.reshape(has_mask, -1, 1, 1, 1), to=9)
        return graph.op("Where", flag, given, absent)

    def _transformer(self, points: str, keys: str) -> tuple[str, str]:
        graph = self._graph
        positions = graph.floats(dense_positions(self._weights, self._network.grid)[None])
        queries = points
        for index in range(LAYERS):
            layer = f"mask_decoder.transformer.layers.{index}"
            if index == 0:
                queries = self._attention(f"{layer}.self_attn", queries, queries, queries)
            else:
                query = graph.op("Add", queries, points)
                queries = graph.op("Add", queries, self._attention(f"{layer}.self_attn", query, query, queries))
            queries = self._norm(f"{layer}.norm1", queries)

            query, key = graph.op("Add", queries, points), graph.op("Add", keys, positions)
            seen = self._attention(f"{layer}.cross_attn_token_to_image", query, key, keys)
            queries = self._norm(f"{layer}.norm2", graph.op("Add", queries, seen))

            hidden = graph.op("Relu", self._linear(f"{layer}.mlp.lin1", queries))
            queries = self._norm(f"{layer}.norm3", graph.op("Add", queries, self._linear(f"{layer}.mlp.lin2", hidden)))

            query = graph.op("Add", queries, points)
            told = self._attention(f"{layer}.cross_attn_image_to_token", key, query, queries)
            keys = self._norm(f"{layer}.norm4", graph.op("Add", keys, told))
        query, key = graph.op("Add", queries, points), graph.op("Add", keys, positions)
        seen = self._attention("mask_decoder.transformer.final_attn_token_to_image", query, key, keys)
        return self._norm("mask_decoder.transformer.norm_final_attn", graph.op("Add", queries, seen)), keys

    def _masks(self, mask_tokens: str, keys: str) -> str:
        graph, grid, side = self._graph, self._network.grid, self._network.low_res_side
        value = graph.reshape(graph.op("Transpose", keys, perm=[0, 2, 1]), -1, WIDTH, grid, grid)
        value = self._with_high_res(HIGH_RES_S1, self._upscale("mask_decoder.output_upscaling.0", value))
        value = graph.op("Transpose", value, perm=[0, 2, 3, 1])
        value = layer_norm(graph, self._weights, "mask_decoder.output_upscaling.1", value, epsilon=1e-6)
        value = graph.op("Transpose", gelu(graph, value), perm=[0, 3, 1, 2])
        value = self._with_high_res(HIGH_RES_S0, self._upscale("mask_decoder.output_upscaling.3", value))
        pixels = graph.reshape(gelu(graph, value), 0, WIDTH // 8, side * side)

        hyper = [
            self._mlp(f"mask_decoder.output_hypernetworks_mlps.{index}", token)
            for index, token in enumerate(graph.split(mask_tokens, [1] * MASKS, axis=1))
        ]
        return graph.reshape(graph.op("MatMul", graph.op("Concat", *hyper, axis=1), pixels), 0, MASKS, side, side)

    def _with_high_res(self, name: str, value: str) -> str:
        """Add the high-resolution feature `name`, if the network has it."""
        for spec in self._network.high_res:
            if spec.name == name:
                return self._graph.op("Add", value, self._graph.input(name, spec.shape))
        return value

    def _upscale(self, prefix: str, value: str) -> str:
        kernel, bias = self._constant(f"{prefix}.weight"), self._constant(f"{prefix}.bias")
        return self._graph.op("ConvTranspose", value, kernel, bias, kernel_shape=[2, 2], strides=[2, 2])

    def _attention(self, prefix: str, query: str, key: str, value: str) -> str:
        graph = self._graph
        head = self._weights[f"{prefix}.q_proj.bias"].size // HEADS
        heads = [
            graph.op("Transpose", graph.reshape(self._linear(f"{prefix}.{name}", given), 0, 0, HEADS, head), perm=perm)
            for name, given, perm in (
                ("q_proj", query, [0, 2, 1, 3]),
                ("k_proj", key, [0, 2, 3, 1]),
                ("v_proj", value, [0, 2, 1, 3]),
            )
        ]
        scores = graph.op("Div", graph.op("MatMul", heads[0], heads[1]), graph.floats(math.sqrt(head)))
        seen = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), heads[2])
        merged = graph.reshape(graph.op("Transpose", seen, perm=[0, 2, 1, 3]), 0, 0, HEADS * head)
        return self._linear(f"{prefix}.out_proj", merged)

    def _mlp(self, prefix: str, value: str) -> str:
        for index in range(2):
            value = self._graph.op("Relu", self._linear(f"{prefix}.layers.{index}", value))
        return self._linear(f"{prefix}.layers.2", value)

    def _linear(self, prefix: str, value: str) -> str:
        weight = self._graph.floats(self._weights[f"{prefix}.weight"].T)
        return self._graph.op("Add", self._graph.op("MatMul", value, weight), self._constant(f"{prefix}.bias"))

    def _norm(self, prefix: str, value: str) -> str:
        return layer_norm(self._graph, self._weights, prefix, value)

    def _constant(self, name: str) -> str:
        return self._graph.floats(self._weights[name])
