"""Graph pieces that read the image: from its prepared features, or from the embedding itself.

A feature is the embedding times a matrix. A prompt has few tokens, so for one prompt it is cheaper to multiply the
tokens by the matrix, and the result by the embedding, than to compute the feature first. From the second prompt on, it
is cheaper to have the feature.
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
    """What the prompt side reads of the image, with P = 4096 places.

    Attributes:
        norms: (1, P) each, as `image_norms` gives them.
    """

    norms: list[str]

    def products(self, own: str, feature: Feature) -> str:
        """Return heads (8, T, 16) times a feature: (8, T, P)."""
        ...

    def seen(self, probabilities: str, feature: Feature) -> str:
        """Return a feature averaged with probabilities (8T, P) as weights: (8, T, 16)."""
        ...

    def upscaled(self, area: str, /) -> str:
        """Return B' upscaled, (places, 256), at the places of `area`: rows and columns from the top left."""
        ...


class PreparedImageSource:
    """Reads inputs of the graph: each feature under its name in lower case, (8, 16, P); `norms` (3, P); `upscaled`."""

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
    """Reads one input of the graph: `embedding` (1, 256, 64, 64)."""

    def __init__(self, graph: Graph, folded: Folded) -> None:
        self._graph = graph
        self._folded = folded
        self._image = graph.reshape(graph.input("embedding", [1, WIDTH, GRID, GRID]), WIDTH, PLACES)
        # The row of ones multiplies the constants of the features.
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
        """Return the (8, 257, 16) matrix of a feature for the image with its row of ones.

        If the feature has its own constant in each place, also return that constant (8, 16, P), otherwise None.
        """
        projection, constant = [*self._placed, *self._plain][feature]
        placed = None
        if len(constant) > 1:
            placed, constant = constant.T.reshape(HEADS, HEAD, PLACES), np.zeros_like(constant[:1])
        matrix = np.concatenate([projection, constant])
        return matrix.reshape(WIDTH + 1, HEADS, HEAD).transpose(1, 0, 2), placed


def cropped(graph: Graph, rows: str, area: str) -> str:
    """Cut `rows` (R, P) to the places of `area`: (R, rows * columns of the area)."""
    grid = graph.reshape(rows, -1, GRID, GRID)
    cut = graph.op("Slice", grid, graph.integers(0, 0), area, graph.integers(1, 2))
    return graph.op("Flatten", cut, axis=1)
