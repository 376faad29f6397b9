"""Graphs of the split decoder for many prompts of one point each; the maths are in `prompt_api.models.two_way`.

All prompts have the same tokens but for their point, so they share a run without padding. The steps on the tokens and
the products with the image's features are done for all prompts at once. What only an upscaled mask needs is a second
graph, because most points of a grid give no mask that is good enough.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from prompt_api.models.onnx.graph import FUSED, Graph
from prompt_api.models.two_way.folding import FIRST_COLUMNS, HEADS, INTERNAL, SECOND_COLUMNS, WIDTH, Array, Folded
from prompt_api.models.two_way.image_side import Feature, details_shapes
from prompt_api.models.two_way.image_source import cropped
from prompt_api.models.two_way.image_update import Update
from prompt_api.models.two_way.prompt_tokens import output_tokens, sparse_tokens
from prompt_api.models.two_way.token_side import HEAD, TokenSide
from prompt_api.models.two_way.upscaling import Upscaling
from prompt_api.models.two_way.weights import MASKS

MULTIMASK = MASKS - 1
"""The masks of each point: the three of multimask."""

_ANSWERING = 1 + MULTIMASK
"""Tokens of each prompt that an answer is made of: the IoU token, and those of the masks."""

_EPSILON = 1e-5


def build_points_side(folded: Folded) -> onnx.ModelProto:
    """Build the graph that scores the masks of n points, each a prompt of its own.

    Its inputs, with P = 4096 places, are `points` (n, 2) in the frame; one input per `Feature`, under its name in lower
    case: (8, 16, P); and `norms` (3, P).

    Its outputs are `scores` (n, 3), and what `build_mask_of_point` needs of each point: `hyper` (n, 3, 32), `rows`
    (n, R, P), `columns` (n, R, 256), and `scales` (n, 2, P), one over the deviations of both sums. R is 16 times the
    number of tokens.
    """
    return _PointsSide(Graph("sam_points_side"), folded).build()


def build_mask_of_point(folded: Folded) -> onnx.ModelProto:
    """Build the graph that upscales some masks of one point.

    Its inputs are `rows` (R, P), `columns` (R, 256) and `scales` (2, P) of the point; `hyper` (K, 32), those of the
    wanted masks; `area`, `upscaled` and `image_details` as `build_prompt_side` takes them.

    Its output is `logits` (K, 16 rows * columns of the area), in the order of `build_prompt_side`.
    """
    network = folded.network
    graph = Graph("sam_mask_of_point")
    count = 2 * HEADS * _tokens(folded)
    rows = graph.input("rows", [count, network.places])
    columns = graph.input("columns", [count, WIDTH])
    scales = graph.input("scales", [2, network.places])
    hyper = graph.input("hyper", ["masks", WIDTH // HEADS])
    upscaled = graph.input("upscaled", ["places", WIDTH])
    area = graph.input("area", [2], TensorProto.INT64) if network.padded else None
    details = {name: graph.input(name, shape) for name, shape in details_shapes(network).items()}

    first, second = graph.split(cropped(graph, scales, area, network.grid), [1, 1], axis=0)
    scaled = graph.op("Mul", cropped(graph, rows, area, network.grid), second)
    image = graph.op("Mul", upscaled, graph.reshape(graph.op("Mul", first, second), -1, 1))
    upscaling = Upscaling(graph, folded)
    graph.output(
        "logits",
        upscaling.logits(hyper, upscaling.pixels(scaled, columns, image, details, area)),
        ["masks", "pixels"],
    )
    return graph.model()


def _tokens(folded: Folded) -> int:
    """Return the number of tokens of a point's prompt: the network's own, the point, and the padding point."""
    return len(folded.network.leading) + MASKS + 2


class _PointsSide:
    """Arrays named `by_head` are (8, n T, …), those named `by_prompt` (n, 8, T, …) or (n, 8 T, …)."""

    def __init__(self, graph: Graph, folded: Folded) -> None:
        self._graph = graph
        self._folded = folded
        self._network = folded.network
        self._places = folded.network.places
        self._count = _tokens(folded)
        self._tokens = TokenSide(graph, folded, self._count)
        self._features = {
            feature: graph.input(feature.name.lower(), [HEADS, HEAD, self._places]) for feature in Feature
        }
        self._norms = graph.split(graph.input("norms", [3, self._places]), [1, 1, 1], axis=0)

    def build(self) -> onnx.ModelProto:
        self._positions = self._all_tokens()
        queries, keys, values = self._first_reading()
        first, second_cross = self._first_sum(keys, values)
        queries, scores, values = self._second_reading(queries, first)
        second = self._second_sum(scores, values, first, second_cross)
        self._answer(self._final_reading(queries, first, second))
        graph, count = self._graph, 2 * HEADS * self._count
        graph.output("rows", second.rows, ["points", count, self._places])
        graph.output("columns", second.columns[-1], ["points", count, WIDTH])
        scales = graph.op("Concat", first.scale, second.scale, axis=1)
        graph.output("scales", scales, ["points", 2, self._places])
        return graph.model()

    def _all_tokens(self) -> str:
        graph, weights = self._graph, self._folded.weights
        point = graph.reshape(graph.input("points", ["points", 2]), -1, 1, 2)
        given = sparse_tokens(graph, weights, self._network.side, point, graph.floats([[1]]))
        padding = weights["prompt_encoder.not_a_point_embed.weight"]
        shape = graph.op("Shape", given)
        prompts = graph.op("Slice", shape, graph.integers(0), graph.integers(1))

        def in_each(tokens: Array) -> str:
            wanted = graph.op("Concat", prompts, graph.integers(*tokens.shape), axis=0)
            return graph.op("Expand", graph.floats(tokens), wanted)

        own = in_each(np.asarray(output_tokens(weights, self._network), np.float64))
        tokens = graph.op("Concat", own, given, in_each(np.asarray(padding, np.float64)), axis=1)
        return graph.reshape(tokens, -1, WIDTH)

    def _first_reading(self) -> tuple[str, str, str]:
        """Return the tokens after the first layer, and their keys and values for the image, by head."""
        graph, read = self._graph, self._folded.reads[0]
        queries = self._tokens.after_attending(0, self._tokens.attend(0, self._positions, self._positions), None)
        own = self._tokens.queries_of_image(read, self._placed(queries))
        scores = graph.op("MatMul", own, self._features[Feature.FIRST_KEY])
        probabilities = graph.op("Softmax", scores, axis=-1)
        seen = graph.op("FusedMatMul", probabilities, self._features[Feature.FIRST_VALUE], domain=FUSED, transB=1)
        return self._after_reading(0, queries, seen, np.zeros(INTERNAL))

    def _first_sum(self, keys: str, values: str) -> tuple[Update, str]:
        """Return the update R0 V0, and the (n, 8 T, P) products of V0 * g1 with the image's part of the second sum."""
        rows = self._softmax_over_tokens(self._product(keys, Feature.FIRST_QUERY))
        write = self._folded.first_update(self._folded.matrix(self._folded.writes[0], "out_proj"))
        columns = self._graph.split(self._written(values, write), FIRST_COLUMNS, axis=2)
        cross = self._graph.op("Mul", rows, self._product(values, Feature.BASE_WRITE))
        scale = self._deviation_scale(rows, columns[0], self._over_rows(cross), self._norms[0])
        return Update(rows, columns, scale), self._product(values, Feature.SECOND_WRITE_FIRST)

    def _second_reading(self, queries: str, first: Update) -> tuple[str, str, str]:
        """Return the tokens after the second layer, their scores (n, 8 T, P) and their values for the image."""
        graph, folded = self._graph, self._folded
        _, key, value, query, _ = first.columns
        queries = self._tokens.after_attending(1, self._tokens.attend(1, self._placed(queries), queries), queries)
        read, write = folded.reads[1], folded.writes[1]

        own = self._tokens.queries_of_image(read, self._placed(queries))
        scores = self._scores(own, self._product(own, Feature.BASE_KEY), first, key)
        scores = graph.op("Add", scores, self._at_positions(own, folded.positions @ folded.matrix(read, "k_proj")))
        probabilities = graph.op("Mul", graph.op("Softmax", scores, axis=-1), first.scale)
        seen = graph.op(
            "Add",
            self._seen(probabilities, Feature.BASE_VALUE),
            self._seen_in_update(probabilities, first, value),
        )
        constant = folded.shifts[0] @ folded.matrix(read, "v_proj")
        queries, keys, values = self._after_reading(1, queries, self._by_head(seen), constant)

        scores = self._scores(keys, self._product(keys, Feature.BASE_QUERY), first, query)
        placed = (folded.positions + folded.shifts[0]) @ folded.matrix(write, "q_proj") + folded.bias(write, "q_proj")
        return queries, graph.op("Add", scores, self._at_positions(keys, placed)), values

    def _second_sum(self, scores: str, values: str, first: Update, first_cross: str) -> Update:
        """Return the update R1 V'."""
        graph, folded = self._graph, self._folded
        scaled, told = graph.op("Mul", first.rows, first.scale), self._softmax_over_tokens(scores)
        rows = graph.op("Concat", scaled, told, axis=1)
        write = folded.second_update(folded.matrix(folded.writes[1], "out_proj"))
        # Each head's probabilities add up to one, so an eighth of the constant in each row adds it once in total.
        constant = folded.second_update(folded.second_shift[None] / HEADS)
        own = graph.op("Add", self._written(values, write), graph.floats(constant))
        columns = graph.split(graph.op("Concat", first.columns[-1], own, axis=1), SECOND_COLUMNS, axis=2)

        cross = [
            graph.op("Mul", scaled, first_cross),
            graph.op("Mul", told, self._product(values, Feature.SECOND_WRITE)),
        ]
        cross_sum = graph.op("Mul", self._over_rows(graph.op("Add", *cross)), first.scale)
        image_norm = graph.op("Mul", graph.op("Mul", self._norms[1], first.scale), first.scale)
        rest = graph.op("Add", image_norm, graph.op("Mul", self._norms[2], first.scale))
        return Update(rows, columns, self._deviation_scale(rows, columns[0], cross_sum, rest))

    def _final_reading(self, queries: str, first: Update, second: Update) -> str:
        """Return the IoU token and the tokens of the three masks after the final attention, (n 4, 256)."""
        graph, folded = self._graph, self._folded
        _, key, value, _ = second.columns
        read = folded.reads[2]
        queries, positions = self._answering(queries), self._answering(self._positions)
        own = self._tokens.queries_of_image(read, graph.op("Add", queries, positions))
        image_scores = graph.op("Mul", self._product(own, Feature.SECOND_KEY, _ANSWERING), first.scale)
        scores = self._scores(own, image_scores, second, key, _ANSWERING)
        placed = self._at_positions(own, folded.positions @ folded.matrix(read, "k_proj"), _ANSWERING)
        probabilities = graph.op("Mul", graph.op("Softmax", graph.op("Add", scores, placed), axis=-1), second.scale)
        seen = graph.op(
            "Add",
            self._seen(graph.op("Mul", probabilities, first.scale), Feature.SECOND_VALUE, _ANSWERING),
            self._seen_in_update(probabilities, second, value, _ANSWERING),
        )
        constant = folded.shifts[1] @ folded.matrix(read, "v_proj")
        norm = "mask_decoder.transformer.norm_final_attn"
        return self._tokens.after_reading(read, norm, self._by_head(seen), constant, queries)

    def _answering(self, tokens: str) -> str:
        """Return the IoU token and the tokens of the three masks, out of all tokens."""
        graph, leading = self._graph, len(self._network.leading)
        kept = graph.integers(leading - 1, *range(leading + 1, leading + MASKS))
        return graph.reshape(graph.op("Gather", self._each(tokens, self._count), kept, axis=1), -1, WIDTH)

    def _answer(self, tokens: str) -> None:
        graph = self._graph
        iou, masks = graph.split(self._each(tokens, _ANSWERING), [1, MULTIMASK], axis=1)
        scores = self._tokens.iou_scores(graph.reshape(iou, -1, WIDTH))
        first, last = graph.integers(1), graph.integers(MASKS)
        graph.output("scores", graph.op("Slice", scores, first, last, graph.integers(1)), ["points", MULTIMASK])
        by_mask = graph.op("Transpose", masks, perm=[1, 0, 2])
        hyper = graph.op("Transpose", self._tokens.hyper_of_many(by_mask), perm=[1, 0, 2])
        graph.output("hyper", hyper, ["points", MULTIMASK, WIDTH // HEADS])

    def _each(self, tokens: str, count: int) -> str:
        """Return (n T, 256) as (n, T, 256)."""
        return self._graph.reshape(tokens, -1, count, WIDTH)

    def _placed(self, queries: str) -> str:
        return self._graph.op("Add", queries, self._positions)

    def _after_reading(self, layer: int, queries: str, seen: str, constant: Array) -> tuple[str, str, str]:
        prefix, write = self._folded.layers[layer], self._folded.writes[layer]
        queries = self._tokens.after_reading(self._folded.reads[layer], f"{prefix}.norm2", seen, constant, queries)
        queries = self._tokens.mlp(layer, queries)
        keys = self._tokens.keys_for_image(write, self._placed(queries))
        return queries, keys, self._tokens.values_for_image(write, queries)

    def _softmax_over_tokens(self, scores: str) -> str:
        """Return the probabilities of each place over the tokens, (n, 8 T, P)."""
        graph = self._graph
        scores = graph.reshape(scores, -1, self._count, self._places)
        powers = graph.op("Exp", graph.op("Sub", scores, graph.op("ReduceMax", scores, axes=[1])))
        shares = graph.op("Div", powers, graph.op("ReduceSum", powers, graph.integers(1)))
        return graph.reshape(shares, -1, HEADS * self._count, self._places)

    def _over_rows(self, product: str) -> str:
        """Return the sum of (n, R, P) over the rows of each prompt: (n, 1, P)."""
        return self._graph.op("ReduceSum", product, self._graph.integers(1))

    def _deviation_scale(self, rows: str, columns: str, cross: str, rest: str) -> str:
        """Return one over the deviation of a centred sum, (n, 1, P); see `ImageUpdate.deviation_scale`.

        Args:
            cross: (n, 1, P), already multiplied by the rows and summed over them.
        """
        graph = self._graph
        gram = graph.op("FusedMatMul", columns, columns, domain=FUSED, transB=1, alpha=1 / WIDTH)
        own = self._over_rows(graph.op("Mul", rows, graph.op("MatMul", gram, rows)))
        variance = graph.op("Add", graph.op("Add", own, cross), rest)
        return graph.op("Reciprocal", graph.op("Sqrt", graph.op("Add", variance, graph.floats(_EPSILON))))

    def _scores(self, own: str, image_scores: str, update: Update, keys: str, count: int | None = None) -> str:
        """Return the scores of heads `own` against normalised image features: (n, 8 T, P)."""
        graph, count = self._graph, count or self._count
        cut = graph.op("Transpose", self._cut(keys), perm=[0, 2, 3, 1])
        shares = self._flat(graph.op("MatMul", self._by_prompt(own, count), cut), count)
        scores = graph.op("Add", graph.op("MatMul", shares, update.rows), image_scores)
        return graph.op("Mul", scores, update.scale)

    def _seen(self, probabilities: str, feature: Feature, count: int | None = None) -> str:
        """Return a feature averaged with probabilities (n, 8 T, P) as weights: (n, 8, T, 16)."""
        graph = self._graph
        heads = graph.reshape(probabilities, -1, HEADS, count or self._count, self._places)
        return graph.op("FusedMatMul", heads, self._features[feature], domain=FUSED, transB=1)

    def _seen_in_update(self, probabilities: str, update: Update, values: str, count: int | None = None) -> str:
        """Return the update's part of a feature, averaged with probabilities as weights: (n, 8, T, 16)."""
        graph = self._graph
        shares = graph.op("FusedMatMul", probabilities, update.rows, domain=FUSED, transB=1)
        heads = graph.reshape(shares, 0, HEADS, count or self._count, -1)
        return graph.op("MatMul", heads, graph.op("Transpose", self._cut(values), perm=[0, 2, 1, 3]))

    def _product(self, own: str, feature: Feature, count: int | None = None) -> str:
        """Return heads times an image feature, by prompt: (n, 8 T, P)."""
        return self._times(own, self._features[feature], count or self._count)

    def _at_positions(self, own: str, positions: Array, count: int | None = None) -> str:
        """Return heads times a constant feature (P, 128), by prompt: (n, 8 T, P)."""
        constant = self._graph.floats(positions.T.reshape(HEADS, HEAD, self._places))
        return self._times(own, constant, count or self._count)

    def _times(self, own: str, feature: str, count: int) -> str:
        graph = self._graph
        product = graph.reshape(graph.op("MatMul", own, feature), HEADS, -1, count, self._places)
        return self._flat(graph.op("Transpose", product, perm=[1, 0, 2, 3]), count)

    def _written(self, values: str, matrix: Array) -> str:
        """Return each head's values times that head's 16 rows of `matrix` (128, C), by prompt: (n, 8 T, C)."""
        graph = self._graph
        heads = graph.floats(matrix.reshape(HEADS, HEAD, -1))
        product = graph.reshape(graph.op("MatMul", values, heads), HEADS, -1, self._count, matrix.shape[1])
        ordered = graph.op("Transpose", product, perm=[1, 0, 2, 3])
        return graph.reshape(ordered, -1, HEADS * self._count, matrix.shape[1])

    def _by_prompt(self, own: str, count: int) -> str:
        """Turn (8, n T, 16) into (n, 8, T, 16)."""
        split = self._graph.reshape(own, HEADS, -1, count, HEAD)
        return self._graph.op("Transpose", split, perm=[1, 0, 2, 3])

    def _by_head(self, own: str) -> str:
        """Turn (n, 8, T, 16) into (8, n T, 16)."""
        return self._graph.reshape(self._graph.op("Transpose", own, perm=[1, 0, 2, 3]), HEADS, -1, HEAD)

    def _cut(self, columns: str) -> str:
        """Cut (n, R, 128) into heads: (n, R, 8, 16)."""
        return self._graph.reshape(columns, 0, 0, HEADS, HEAD)

    def _flat(self, value: str, count: int) -> str:
        """Turn (n, 8, T, C) into (n, 8 T, C)."""
        return self._graph.reshape(value, 0, HEADS * count, -1)
