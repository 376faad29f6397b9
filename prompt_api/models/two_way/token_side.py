"""Graph pieces that touch only the prompt's few tokens: attention among them, MLPs, norms, projections to heads.

Tokens are (T, 256) for one prompt, or (n T, 256) for n prompts of T tokens each. ONNX Runtime's fused operators keep
the many small steps cheap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prompt_api.models.onnx.graph import FUSED, Graph
from prompt_api.models.two_way.folding import HEADS, INTERNAL, WIDTH, Array, Folded
from prompt_api.models.two_way.prompt_tokens import layer_norm
from prompt_api.models.two_way.weights import MASKS

HEAD = INTERNAL // HEADS
_SCALE = HEAD**-0.5
_EPSILON = 1e-5


class TokenSide:
    """Adds steps on the tokens to `graph`."""

    def __init__(self, graph: Graph, folded: Folded, tokens: int | None = None) -> None:
        """Args:
        tokens: of each prompt, T, if there are several prompts. None stands for one prompt of any number.
        """
        self._graph = graph
        self._folded = folded
        self._each = (1, -1) if tokens is None else (-1, tokens)

    def attend(self, layer: int, query: str, value: str) -> str:
        """Return the layer's self-attention (T, 256), without its output bias. `query` also gives the keys."""
        prefix = f"{self._folded.layers[layer]}.self_attn"
        projected = [
            self._linear(f"{prefix}.{name}", given)
            for name, given in (("q_proj", query), ("k_proj", query), ("v_proj", value))
        ]
        batched = [self._graph.reshape(one, *self._each, WIDTH) for one in projected]
        attended = self._graph.op("MultiHeadAttention", *batched, domain=FUSED, num_heads=HEADS)
        out = self._graph.floats(self._folded.matrix(prefix, "out_proj"))
        return self._graph.op("MatMul", self._graph.reshape(attended, -1, WIDTH), out)

    def after_attending(self, layer: int, attended: str, queries: str | None) -> str:
        """Add `attended` to `queries`, and normalise. `queries` is None in the first layer, which has no residual."""
        bias = self._folded.array(f"{self._folded.layers[layer]}.self_attn.out_proj.bias")
        norm = f"{self._folded.layers[layer]}.norm1"
        if queries is None:
            biased = self._graph.op("Add", attended, self._graph.floats(bias))
            return layer_norm(self._graph, self._folded.weights, norm, biased)
        return self._add_and_norm(norm, attended, queries, bias)

    def to_heads(self, projection: Array, bias: Array, tokens: str) -> str:
        """Return `tokens`, projected and cut into heads: (8, T, 16)."""
        projected = self._graph.op("Gemm", tokens, self._graph.floats(projection), self._graph.floats(bias))
        return self.cut(projected, [1, 0, 2])

    def queries_of_image(self, read: str, tokens: str) -> str:
        """Return the tokens' scaled queries in attention `read`, where they read the image: (8, T, 16)."""
        matrix, bias = self._folded.matrix(read, "q_proj"), self._folded.bias(read, "q_proj")
        return self.to_heads(_SCALE * matrix, _SCALE * bias, tokens)

    def keys_for_image(self, write: str, tokens: str) -> str:
        """Return the tokens' scaled keys in attention `write`, where the image reads them: (8, T, 16)."""
        matrix, bias = self._folded.matrix(write, "k_proj"), self._folded.bias(write, "k_proj")
        return self.to_heads(_SCALE * matrix, _SCALE * bias, tokens)

    def values_for_image(self, write: str, tokens: str) -> str:
        """Return the tokens' values in attention `write`, before its output projection: (8, T, 16)."""
        return self.to_heads(self._folded.matrix(write, "v_proj"), self._folded.bias(write, "v_proj"), tokens)

    def after_reading(self, read: str, norm: str, seen: str, constant: Array, queries: str) -> str:
        """Add to `queries` what they read (8, T, 16), and normalise. `constant` (128,) is added to every reading."""
        merged = self._graph.reshape(self._graph.op("Transpose", seen, perm=[1, 0, 2]), -1, INTERNAL)
        out = self._folded.matrix(read, "out_proj")
        bias = self._folded.bias(read, "out_proj") + (constant + self._folded.bias(read, "v_proj")) @ out
        return self._add_and_norm(norm, self._graph.op("MatMul", merged, self._graph.floats(out)), queries, bias)

    def mlp(self, layer: int, queries: str) -> str:
        """Add the layer's MLP to `queries`, and normalise."""
        prefix = self._folded.layers[layer]
        hidden = self._graph.op("Relu", self._linear(f"{prefix}.mlp.lin1", queries))
        out = self._graph.op("MatMul", hidden, self._graph.floats(self._folded.array(f"{prefix}.mlp.lin2.weight").T))
        return self._add_and_norm(f"{prefix}.norm3", out, queries, self._folded.array(f"{prefix}.mlp.lin2.bias"))

    def iou_scores(self, token: str) -> str:
        """Return the scores (1, 4) from the IoU token (1, 256)."""
        prefix = "mask_decoder.iou_prediction_head.layers"
        hidden = token
        for index in range(2):
            hidden = self._graph.op("Relu", self._linear(f"{prefix}.{index}", hidden))
        scores = self._linear(f"{prefix}.2", hidden)
        return self._graph.op("Sigmoid", scores) if self._folded.network.sigmoid_scores else scores

    def hyper(self, tokens: str) -> str:
        """Return the weights that each mask token (4, 256) gives to the upscaled channels: (4, 32)."""
        hyper = self._hyper(self._graph.reshape(tokens, MASKS, 1, WIDTH), range(MASKS))
        return self._graph.reshape(hyper, MASKS, -1)

    def hyper_of_many(self, tokens: str) -> str:
        """Return the same (3, n, 32) for the tokens (3, n, 256) of the masks of multimask, of n prompts."""
        return self._hyper(tokens, range(1, MASKS))

    def _hyper(self, value: str, masks: Sequence[int]) -> str:
        for index in range(3):
            prefixes = [f"mask_decoder.output_hypernetworks_mlps.{mask}.layers.{index}" for mask in masks]
            weight = np.stack([self._folded.array(f"{prefix}.weight").T for prefix in prefixes])
            bias = np.stack([self._folded.array(f"{prefix}.bias")[None] for prefix in prefixes])
            value = self._graph.op(
                "Add", self._graph.op("MatMul", value, self._graph.floats(weight)), self._graph.floats(bias)
            )
            value = value if index == 2 else self._graph.op("Relu", value)
        return value

    def cut(self, value: str, perm: list[int]) -> str:
        """Cut (T, 128) into heads (T, 8, 16), then permute the axes."""
        return self._graph.op("Transpose", self._graph.reshape(value, -1, HEADS, HEAD), perm=perm)

    def _add_and_norm(self, prefix: str, value: str, skip: str, value_bias: Array) -> str:
        scale, bias = (self._graph.floats(self._folded.weights[f"{prefix}.{name}"]) for name in ("weight", "bias"))
        inputs = (value, skip, scale, bias, self._graph.floats(value_bias))
        return self._graph.op("SkipLayerNormalization", *inputs, domain=FUSED, epsilon=_EPSILON)

    def _linear(self, prefix: str, value: str) -> str:
        weight = self._graph.floats(self._folded.array(f"{prefix}.weight").T)
        return self._graph.op("Gemm", value, weight, self._graph.floats(self._folded.array(f"{prefix}.bias")))
