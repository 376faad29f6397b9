"""Graph pieces of the low-rank update that a prompt makes to the image; `prompt_api.models.two_way` has the maths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prompt_api.models.onnx.graph import FUSED, Graph
from prompt_api.models.two_way.folding import HEADS, INTERNAL, WIDTH

_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Update:
    """The rows of an update, and what they add downstream.

    Attributes:
        rows: (R, P).
        columns: (R, …) each, the parts of `Folded.first_update` or `second_update`.
        scale: (1, P), one over the deviation of the sum that the update belongs to.
    """

    rows: str
    columns: Sequence[str]
    scale: str


class ImageUpdate:
    """Adds steps on the places of the image to `graph`."""

    def __init__(self, graph: Graph, places: int) -> None:
        """Args:
        places: of the image, P.
        """
        self._graph = graph
        self._places = places

    def softmax_over_tokens(self, scores: str) -> str:
        """Return the probabilities of each place over the tokens, (8T, P), from scores (8, T, P).

        It takes plain steps, because the runtime's Softmax over a short or middle axis costs four times as much.
        """
        graph = self._graph
        largest = graph.op("ReduceMax", scores, axes=[1])
        powers = graph.op("Exp", graph.op("Sub", scores, largest))
        shares = graph.op("Div", powers, graph.op("ReduceSum", powers, graph.integers(1)))
        return graph.reshape(shares, -1, self._places)

    def deviation_scale(self, rows: str, columns: str, cross: str, rest: str) -> str:
        """Return one over the deviation of a centred sum: (1, P).

        Args:
            rows, columns: the update, (R, P) and (R, 256), centred.
            cross: (R, P), twice the product of the image's part and `columns`, divided by 256.
            rest: (1, P), the variance without the update.
        """
        graph = self._graph
        gram = graph.op("FusedMatMul", columns, columns, domain=FUSED, transB=1, alpha=1 / WIDTH)
        product = graph.op("Mul", rows, graph.op("Gemm", gram, rows, cross))
        variance = graph.op("Add", graph.op("ReduceSum", product, graph.integers(0)), rest)
        return graph.op("Reciprocal", graph.op("Sqrt", graph.op("Add", variance, graph.floats(_EPSILON))))

    def scores(self, own: str, image_scores: str, update: Update, keys: str) -> str:
        """Return the scores of heads `own` (8, T, 16) against normalised image features: (8T, P).

        Args:
            image_scores: (8T, P), the scores against the image's part alone.
            keys: (R, 128), what the update's rows add to the features.
        """
        graph = self._graph
        cut = graph.op("Transpose", graph.reshape(keys, -1, HEADS, INTERNAL // HEADS), perm=[1, 2, 0])
        shares = graph.op("Flatten", graph.op("MatMul", own, cut), axis=2)
        return graph.op("Mul", graph.op("Gemm", shares, update.rows, image_scores), update.scale)

    def seen_in_update(self, probabilities: str, update: Update, values: str) -> str:
        """Return the update's part of a feature, averaged with probabilities (8T, P) as weights: (8, T, 16).

        Args:
            values: (R, 128), what the update's rows add to the feature.
        """
        graph = self._graph
        shares = graph.op("FusedMatMul", probabilities, update.rows, domain=FUSED, transB=1)
        count = graph.op("Slice", graph.op("Shape", update.rows), graph.integers(0), graph.integers(1))
        shape = graph.op("Concat", graph.integers(HEADS, -1), count, axis=0)
        cut = graph.op("Transpose", graph.reshape(values, -1, HEADS, INTERNAL // HEADS), perm=[1, 0, 2])
        return graph.op("MatMul", graph.op("Reshape", shares, shape), cut)
