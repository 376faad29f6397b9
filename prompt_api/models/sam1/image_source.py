"""Graph pieces that read the image: from its prepared features, or from the embedding itself.

A feature is the embedding times a matrix. For a prompt's few tokens it is cheaper to multiply them with the matrix and
the result with the embedding, than to compute the feature first; from the second prompt on it is not.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from prompt_api.models.onnx.graph import FUSED, Graph
from prompt_api.models.sam1.folding import HEADS, WIDTH, Array, Folded
from prompt_api.models.sam1.image_side import (
    PLACES,
    Feature,
    image_norms,
    image_upscaled,
    placed_features,
    plain_features,
)
from prompt_api.models.sam1.prompt_tokens import GRID
from prompt_api.models.sam1.token_side import HEAD


class ImageSource(Protocol):
    """What the prompt side asks of the image, with P = 4096 places.

    Attributes:
        norms: (1, P) each, as `image_norms` gives them.
    """

    norms: list[str]

    def products(self, own: str, feature: Feature) -> str:
        """(8, T, P): heads (8, T, 16) times a feature."""
        ...

    def seen(self, probabilities: str, feature: Feature) -> str:
        """(8, T, 16): a feature averaged under probabilities (8T, P)."""
        ...

    def upscaled(self, area: str, /) -> str:
        """(places, 256): B' upscaled, at the places of `area`: rows and columns from the top left."""
        ...


class PreparedImageSource:
    """Inputs of the graph: each feature under its name in lower case, (8, 16, P); `norms` (3, P); `upscaled`."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._features = {feature: graph.input(feature.name.lower(), [HEADS, HEAD, PLACES]) for feature in Feature}
        self.norms = graph.split(graph.input("norms", [3, PLACES]), [1, 1, 1], axis=0)

    def products(self, own: str, feature: Feature) -> str:
        return self._graph.op("MatMul", own, self._features[feature])

    def seen(self, probabilities: str, feature: Feature) -> str:
        heads = self._graph.reshape(probabilities, HEADS, -1, PLACES)
        return self._graph.op("FusedMatMul", heads, self._features[feature], domain=FUSED, transB=1)

    def upscaled(self, _area: str, /) -> str:
        return self._graph.input("upscaled", ["places", WIDTH])


class EmbeddingSource:
    """Input of the graph: `embedding` (1, 256, 64, 64)."""

    def __init__(self, graph: Graph, folded: Folded) -> None:
        self._graph = graph
        self._folded = folded
        self._image = graph.reshape(graph.input("embedding", [1, WIDTH, GRID, GRID]), WIDTH, PLACES)
        # A row of ones carries what the features add to the image's part.
        self._with_ones = graph.op("Concat", self._image, graph.floats(np.ones((1, PLACES))), axis=0)
        self._placed = placed_features(folded)
        self._plain = plain_features(folded)
        self.norms = image_norms(graph, folded, self._image)

    def products(self, own: str, feature: Feature) -> str:
        graph, (matrix, placed) = self._graph, self._reader(feature)
        folded = graph.op("MatMul", own, graph.floats(matrix.transpose(0, 2, 1)))
        flat = graph.op("MatMul", graph.reshape(folded, -1, WIDTH + 1), self._with_ones)
        products = graph.reshape(flat, HEADS, -1, PLACES)
        if placed is None:
            return products
        return graph.op("Add", products, graph.op("MatMul", own, graph.floats(placed)))

    def seen(self, probabilities: str, feature: Feature) -> str:
        graph, (matrix, _) = self._graph, self._reader(feature)
        flat = graph.reshape(probabilities, -1, PLACES)
        averaged = graph.op("FusedMatMul", flat, self._with_ones, domain=FUSED, transB=1)
        return graph.op("MatMul", graph.reshape(averaged, HEADS, -1, WIDTH + 1), graph.floats(matrix))

    def upscaled(self, area: str, /) -> str:
        return image_upscaled(self._graph, self._folded, cropped(self._graph, self._image, area))

    def _reader(self, feature: Feature) -> tuple[Array, Array | None]:
        """(8, 257, 16) matrix of the image with ones, and the constant (8, 16, P) where it has one for each place."""
        projection, constant = [*self._placed, *self._plain][feature]
        placed = None
        if len(constant) > 1:
            placed, constant = constant.T.reshape(HEADS, HEAD, PLACES), np.zeros_like(constant[:1])
        matrix = np.concatenate([projection, constant])
        return matrix.reshape(WIDTH + 1, HEADS, HEAD).transpose(1, 0, 2), placed


def cropped(graph: Graph, rows: str, area: str) -> str:
    """(R, rows * columns of `area`) of `rows` (R, P)."""
    grid = graph.reshape(rows, -1, GRID, GRID)
    cut = graph.op("Slice", grid, graph.integers(0, 0), area, graph.integers(1, 2))
    return graph.op("Flatten", cut, axis=1)
