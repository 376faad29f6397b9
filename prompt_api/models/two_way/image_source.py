"""Graph pieces that read the image: from its prepared features, or from the embedding itself.

A feature is the embedding times a matrix. A prompt has few tokens, so for one prompt it is cheaper to multiply the
tokens by the matrix, and the result by the embedding, than to compute the feature first. From the second prompt on, it
is cheaper to have the feature.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from prompt_api.models.onnx.graph import FUSED, Graph
from prompt_api.models.two_way.folding import HEADS, WIDTH, Array, Folded
from prompt_api.models.two_way.image_side import (
    Feature,
    details_shapes,
    embedding_input,
    image_details,
    image_norms,
    image_upscaled,
    placed_features,
    plain_features,
)
from prompt_api.models.two_way.network import Network
from prompt_api.models.two_way.token_side import HEAD


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

    def upscaled(self, area: str | None, /) -> str:
        """Return B' upscaled, (places, 256), at the places of `area`: rows and columns from the top left.

        None stands for all places.
        """
        ...

    def details(self) -> dict[str, str]:
        """Return the high-resolution features, as `image_details` does."""
        ...


class PreparedImageSource:
    """Reads inputs of the graph: each feature under its name in lower case, (8, 16, P); `norms` (3, P); `upscaled`."""

    def __init__(self, graph: Graph, network: Network) -> None:
        self._graph = graph
        self._network = network
        self._places = places = network.places
        self._features = {feature: graph.input(feature.name.lower(), [HEADS, HEAD, places]) for feature in Feature}
        self.norms = graph.split(graph.input("norms", [3, places]), [1, 1, 1], axis=0)

    def products(self, own: str, feature: Feature) -> str:
        return self._graph.op("MatMul", own, self._features[feature])

    def seen(self, probabilities: str, feature: Feature) -> str:
        heads = self._graph.reshape(probabilities, HEADS, -1, self._places)
        return self._graph.op("FusedMatMul", heads, self._features[feature], domain=FUSED, transB=1)

    def upscaled(self, _area: str | None, /) -> str:
        return self._graph.input("upscaled", ["places", WIDTH])

    def details(self) -> dict[str, str]:
        return {name: self._graph.input(name, shape) for name, shape in details_shapes(self._network).items()}


class EmbeddingSource:
    """Reads the tensors of the image embedding, which are inputs of the graph."""

    def __init__(self, graph: Graph, folded: Folded) -> None:
        self._graph = graph
        self._folded = folded
        self._places = folded.network.places
        self._image = embedding_input(graph, folded.network)
        # The row of ones multiplies the constants of the features.
        self._with_ones = graph.op("Concat", self._image, graph.floats(np.ones((1, self._places))), axis=0)
        self._placed = placed_features(folded)
        self._plain = plain_features(folded)
        self.norms = image_norms(graph, folded, self._image)

    def products(self, own: str, feature: Feature) -> str:
        graph, (matrix, placed) = self._graph, self._reader(feature)
        folded = graph.op("MatMul", own, graph.floats(matrix.transpose(0, 2, 1)))
        flat = graph.op("MatMul", graph.reshape(folded, -1, WIDTH + 1), self._with_ones)
        products = graph.reshape(flat, HEADS, -1, self._places)
        if placed is None:
            return products
        return graph.op("Add", products, graph.op("MatMul", own, graph.floats(placed)))

    def seen(self, probabilities: str, feature: Feature) -> str:
        graph, (matrix, _) = self._graph, self._reader(feature)
        flat = graph.reshape(probabilities, -1, self._places)
        averaged = graph.op("FusedMatMul", flat, self._with_ones, domain=FUSED, transB=1)
        return graph.op("MatMul", graph.reshape(averaged, HEADS, -1, WIDTH + 1), graph.floats(matrix))

    def upscaled(self, area: str | None, /) -> str:
        image = cropped(self._graph, self._image, area, self._folded.network.grid)
        return image_upscaled(self._graph, self._folded, image)

    def details(self) -> dict[str, str]:
        return image_details(self._graph, self._folded)

    def _reader(self, feature: Feature) -> tuple[Array, Array | None]:
        """Return the (8, 257, 16) matrix of a feature for the image with its row of ones.

        If the feature has its own constant in each place, also return that constant (8, 16, P), otherwise None.
        """
        projection, constant = [*self._placed, *self._plain][feature]
        placed = None
        if len(constant) > 1:
            placed, constant = constant.T.reshape(HEADS, HEAD, self._places), np.zeros_like(constant[:1])
        matrix = np.concatenate([projection, constant])
        return matrix.reshape(WIDTH + 1, HEADS, HEAD).transpose(1, 0, 2), placed


def cropped(graph: Graph, rows: str, area: str | None, grid: int) -> str:
    """Cut `rows` (R, P) to the places of `area`: (R, rows * columns of the area). None cuts nothing."""
    if area is None:
        return rows
    square = graph.reshape(rows, -1, grid, grid)
    cut = graph.op("Slice", square, graph.integers(0, 0), area, graph.integers(1, 2))
    return graph.op("Flatten", cut, axis=1)
