"""Graph of the split decoder's prompt side: one prompt on one image. The maths are in `prompt_api.models.two_way`."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from prompt_api.models.onnx.graph import Graph
from prompt_api.models.two_way.folding import FIRST_COLUMNS, HEADS, INTERNAL, SECOND_COLUMNS, Array, Folded
from prompt_api.models.two_way.image_side import Feature
from prompt_api.models.two_way.image_source import EmbeddingSource, ImageSource, PreparedImageSource, cropped
from prompt_api.models.two_way.image_update import ImageUpdate, Update
from prompt_api.models.two_way.prompt_tokens import output_tokens, sparse_tokens
from prompt_api.models.two_way.token_side import HEAD, TokenSide
from prompt_api.models.two_way.upscaling import Upscaling
from prompt_api.models.two_way.weights import MASKS


def build_prompt_side(folded: Folded) -> onnx.ModelProto:
    """Build the graph. Its inputs, with P = 4096 places and M = 17 rows of a mask prompt (0 without one), are:

    `points` (N, 2), `labels` (N,): as `sparse_tokens` takes them.
    One input per `Feature`, under its name in lower case: (8, 16, P). If there is a mask prompt, the `FIRST_FEATURES`
    come from the mask side.
    `mask_rows` (M, P) and `mask_updates` (M, 1408) from the mask side; `base_mask` and `second_mask` (M, P), the two
    `mask_products` of the image side.
    `norms` (3, P).
    If the network's images may be padded, `area` int64 (2,): rows and columns of the embedding to upscale, from the top
    left. Otherwise all are upscaled.
    `upscaled` (rows * columns, 256); and `image_details`, if the network has them.
    `wanted` int64 (2,): the index of the first of the four masks to return, and the index after the last.

    Its outputs are `scores` (K,) and `logits` (K, 16 rows * columns). For each place of the area, the logits are the
    2 x 2 sub-pixels (y, x) of the first upscaling, each with its 2 x 2 sub-pixels of the second.
    """
    graph = Graph("sam_prompt_side")
    return _PromptSide(graph, folded, PreparedImageSource(graph, folded.network)).build()


def build_first_prompt(folded: Folded) -> onnx.ModelProto:
    """Build the same graph for the first prompt on an image, before its image side is computed.

    The tensors of the image embedding replace the features, `norms`, `upscaled` and the details.
    """
    graph = Graph("sam_first_prompt")
    return _PromptSide(graph, folded, EmbeddingSource(graph, folded)).build()


class _PromptSide:
    def __init__(self, graph: Graph, folded: Folded, source: ImageSource) -> None:
        self._folded = folded
        self._network = folded.network
        self._places = folded.network.places
        self._graph = graph
        self._source = source
        self._tokens = TokenSide(self._graph, folded)
        self._image = ImageUpdate(self._graph, self._places)

    def build(self) -> onnx.ModelProto:
        graph = self._graph
        self._wanted = graph.split(graph.input("wanted", [2], TensorProto.INT64), [1, 1], axis=0)
        self._positions = self._all_tokens()

        queries, keys, values = self._first_reading()
        first, first_cross = self._first_sum(keys, values)
        queries, keys, values = self._second_reading(queries, first)
        second = self._second_sum(keys, values, first, first_cross)
        answers = self._final_reading(queries, first, second)
        self._answer(answers, first, second)
        return graph.model()

    def _all_tokens(self) -> str:
        graph, weights = self._graph, self._folded.weights
        points, labels = graph.input("points", ["points", 2]), graph.input("labels", ["points"])
        sparse = sparse_tokens(graph, weights, self._network.side, points, labels)
        return graph.op("Concat", graph.floats(output_tokens(weights, self._network)), sparse, axis=0)

    def _first_reading(self) -> tuple[str, str, str]:
        """Return the tokens after the first layer, and their keys and values (8, T, 16) for the image."""
        read = self._folded.reads[0]
        attended = self._tokens.attend(0, self._positions, self._positions)
        queries = self._tokens.after_attending(0, attended, None)
        own = self._tokens.queries_of_image(read, self._placed(queries))
        scores = self._source.products(own, Feature.FIRST_KEY)
        probabilities = self._graph.op("Softmax", scores, axis=-1)
        seen = self._source.seen(probabilities, Feature.FIRST_VALUE)
        return self._after_reading(0, queries, seen, np.zeros(INTERNAL))

    def _first_sum(self, keys: str, values: str) -> tuple[Update, list[str]]:
        """Return the update R0 V0, and the (R, P) products of V0 * g1 with the image's part of the second sum."""
        graph = self._graph
        mask_rows, base_mask, second_mask = (
            graph.input(name, ["mask_rows", self._places]) for name in ("mask_rows", "base_mask", "second_mask")
        )
        mask_updates = graph.input("mask_updates", ["mask_rows", sum(FIRST_COLUMNS)])
        told = self._image.softmax_over_tokens(self._source.products(keys, Feature.FIRST_QUERY))
        rows = graph.op("Concat", told, mask_rows, axis=0)
        write = self._folded.matrix(self._folded.writes[0], "out_proj")
        updates = graph.op("Concat", self._written(values, self._folded.first_update(write)), mask_updates, axis=0)
        columns = graph.split(updates, FIRST_COLUMNS, axis=1)
        cross = graph.op("Concat", self._product(values, Feature.BASE_WRITE), base_mask, axis=0)
        scale = self._image.deviation_scale(rows, columns[0], cross, self._source.norms[0])
        second_cross = [self._product(values, Feature.SECOND_WRITE_FIRST), second_mask]
        return Update(rows, columns, scale), second_cross

    def _second_reading(self, queries: str, first: Update) -> tuple[str, str, str]:
        """Return the tokens after the second layer, and their scores (8, T, P) and values (8, T, 16) for the image."""
        graph, folded = self._graph, self._folded
        _, key, value, query, _ = first.columns
        attended = self._tokens.attend(1, self._placed(queries), queries)
        queries = self._tokens.after_attending(1, attended, queries)
        read, write = folded.reads[1], folded.writes[1]

        own = self._tokens.queries_of_image(read, self._placed(queries))
        scores = self._image.scores(own, self._product(own, Feature.BASE_KEY), first, key)
        scores = graph.op("Add", scores, self._at_positions(own, folded.positions @ folded.matrix(read, "k_proj")))
        probabilities = graph.op("Mul", graph.op("Softmax", scores, axis=-1), first.scale)
        seen = graph.op(
            "Add",
            self._source.seen(probabilities, Feature.BASE_VALUE),
            self._image.seen_in_update(probabilities, first, value),
        )
        queries, keys, values = self._after_reading(1, queries, seen, folded.shifts[0] @ folded.matrix(read, "v_proj"))

        scores = self._image.scores(keys, self._product(keys, Feature.BASE_QUERY), first, query)
        placed = (folded.positions + folded.shifts[0]) @ folded.matrix(write, "q_proj") + folded.bias(write, "q_proj")
        scores = graph.op("Add", scores, self._at_positions(keys, placed))
        return queries, graph.reshape(scores, HEADS, -1, self._places), values

    def _second_sum(self, scores: str, values: str, first: Update, first_cross: list[str]) -> Update:
        """Return the update R1 V'."""
        graph, folded = self._graph, self._folded
        told = self._image.softmax_over_tokens(scores)
        rows = graph.op("Concat", graph.op("Mul", first.rows, first.scale), told, axis=0)
        write = folded.second_update(folded.matrix(folded.writes[1], "out_proj"))
        # Each head's probabilities add up to one, so an eighth of the constant in each row adds it once in total.
        constant = folded.second_update(folded.second_shift[None] / HEADS)
        own = graph.op("Add", self._written(values, write), graph.floats(constant))
        columns = graph.split(graph.op("Concat", first.columns[-1], own, axis=0), SECOND_COLUMNS, axis=1)

        cross = graph.op("Concat", *first_cross, self._product(values, Feature.SECOND_WRITE), axis=0)
        cross = graph.op("Mul", cross, first.scale)
        image_norm = graph.op("Mul", graph.op("Mul", self._source.norms[1], first.scale), first.scale)
        rest = graph.op("Add", image_norm, graph.op("Mul", self._source.norms[2], first.scale))
        return Update(rows, columns, self._image.deviation_scale(rows, columns[0], cross, rest))

    def _final_reading(self, queries: str, first: Update, second: Update) -> str:
        """Return the IoU token and the wanted masks' tokens after the final attention, (1 + K, 256)."""
        graph, folded = self._graph, self._folded
        _, key, value, _ = second.columns
        read = folded.reads[2]
        queries, positions = self._answering(queries), self._answering(self._positions)
        own = self._tokens.queries_of_image(read, graph.op("Add", queries, positions))
        image_scores = graph.op("Mul", self._product(own, Feature.SECOND_KEY), first.scale)
        scores = self._image.scores(own, image_scores, second, key)
        scores = graph.op("Add", scores, self._at_positions(own, folded.positions @ folded.matrix(read, "k_proj")))
        probabilities = graph.op("Mul", graph.op("Softmax", scores, axis=-1), second.scale)
        seen = graph.op(
            "Add",
            self._source.seen(graph.op("Mul", probabilities, first.scale), Feature.SECOND_VALUE),
            self._image.seen_in_update(probabilities, second, value),
        )
        constant = folded.shifts[1] @ folded.matrix(read, "v_proj")
        norm = "mask_decoder.transformer.norm_final_attn"
        return self._tokens.after_reading(read, norm, seen, constant, queries)

    def _answering(self, tokens: str) -> str:
        """Return the IoU token and the wanted masks' tokens, out of all tokens."""
        graph = self._graph
        leading = len(self._network.leading)
        first, last = (graph.op("Add", place, graph.integers(leading)) for place in self._wanted)
        rows = graph.integers(0)
        iou = graph.op("Slice", tokens, graph.integers(leading - 1), graph.integers(leading), rows)
        return graph.op("Concat", iou, graph.op("Slice", tokens, first, last, rows), axis=0)

    def _answer(self, tokens: str, first: Update, second: Update) -> None:
        graph = self._graph
        start, end = self._wanted
        iou_token = graph.op("Slice", tokens, graph.integers(0), graph.integers(1), graph.integers(0))
        scores = graph.op("Slice", graph.reshape(self._tokens.iou_scores(iou_token), MASKS), start, end)
        graph.output("scores", scores, ["masks"])

        mask_tokens = graph.op("Slice", tokens, graph.integers(1), graph.integers(1 + MASKS), graph.integers(0))
        zero = graph.integers(0)
        pads = graph.op("Concat", start, zero, graph.op("Sub", graph.integers(MASKS), end), zero, axis=0)
        hyper = graph.op("Slice", self._tokens.hyper(graph.op("Pad", mask_tokens, pads)), start, end)
        area = graph.input("area", [2], TensorProto.INT64) if self._network.padded else None
        graph.output("logits", self._logits(hyper, first, second, area), ["masks", "pixels"])

    def _logits(self, hyper: str, first: Update, second: Update, area: str | None) -> str:
        graph, grid = self._graph, self._network.grid
        details, upscaling = self._source.details(), Upscaling(graph, self._folded)
        rows = cropped(graph, graph.op("Mul", second.rows, second.scale), area, grid)
        scale = cropped(graph, graph.op("Mul", first.scale, second.scale), area, grid)
        image = graph.op("Mul", self._source.upscaled(area), graph.reshape(scale, -1, 1))
        return upscaling.logits(hyper, upscaling.pixels(rows, second.columns[-1], image, details, area))

    def _placed(self, queries: str) -> str:
        return self._graph.op("Add", queries, self._positions)

    def _after_reading(self, layer: int, queries: str, seen: str, constant: Array) -> tuple[str, str, str]:
        prefix, write = self._folded.layers[layer], self._folded.writes[layer]
        queries = self._tokens.after_reading(self._folded.reads[layer], f"{prefix}.norm2", seen, constant, queries)
        queries = self._tokens.mlp(layer, queries)
        keys = self._tokens.keys_for_image(write, self._placed(queries))
        return queries, keys, self._tokens.values_for_image(write, queries)

    def _product(self, own: str, feature: Feature) -> str:
        """Return heads (8, T, 16) times an image feature: (8T, P)."""
        return self._graph.reshape(self._source.products(own, feature), -1, self._places)

    def _at_positions(self, own: str, positions: Array) -> str:
        """Return heads (8, T, 16) times a constant feature (P, 128): (8T, P)."""
        constant = self._graph.floats(positions.T.reshape(HEADS, HEAD, self._places))
        return self._graph.reshape(self._graph.op("MatMul", own, constant), -1, self._places)

    def _written(self, values: str, matrix: Array) -> str:
        """Return each head's values (8, T, 16) times that head's 16 rows of `matrix` (128, C): (8T, C)."""
        heads = self._graph.floats(matrix.reshape(HEADS, HEAD, -1))
        return self._graph.reshape(self._graph.op("MatMul", values, heads), -1, matrix.shape[1])
