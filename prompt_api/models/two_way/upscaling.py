"""Graph pieces of the upscaling, from the update of the second sum to the channels that masks are read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from prompt_api.models.onnx.graph import FUSED, Graph
from prompt_api.models.two_way.folding import Array, Folded
from prompt_api.models.two_way.image_side import DETAILS_S0, DETAILS_S1
from prompt_api.models.two_way.image_source import cropped
from prompt_api.models.two_way.prompt_tokens import layer_norm


class Upscaling:
    """Adds the upscaling to `graph`."""

    def __init__(self, graph: Graph, folded: Folded) -> None:
        self._graph = graph
        self._folded = folded

    def logits(self, hyper: str, bands: Iterator[str]) -> str:
        """Return the logits (K, 16 * places) of masks with weights `hyper` (K, 32) for the channels of `bands`."""
        graph = self._graph
        parts = [graph.op("FusedMatMul", hyper, pixels, domain=FUSED, transB=1) for pixels in bands]
        return parts[0] if len(parts) == 1 else graph.op("Concat", *parts, axis=1)

    def pixels(
        self, rows: str, columns: str, image: str, details: Mapping[str, str], area: str | None
    ) -> Iterator[str]:
        """Yield the image's channels, upscaled twice, in one or more bands of rows: (16 * places, 32).

        Args:
            rows: (R, places), those of the update, divided by the deviation of the second sum.
            columns: (R, 256), what the rows add to the first upscaling.
            image: (places, 256), the image's part of it, divided by the deviations of both sums.
            details: `image_details`, by name; empty if the network has none.
            area: rows and columns of the embedding that the places are, from the top left. None stands for all.
        """
        graph, folded = self._graph, self._folded
        if details:  # they contain the constants
            image = graph.op("Add", image, details[DETAILS_S1])
        else:
            ones = graph.floats(np.ones((1, folded.network.places)))
            rows = graph.op("Concat", rows, cropped(graph, ones, area, folded.network.grid), axis=0)
            columns = graph.op("Concat", columns, graph.floats(folded.upscale_shift[None]), axis=0)
        value = graph.reshape(graph.op("Gemm", rows, columns, image, transA=1), -1, 64)
        kernel = graph.floats(self._second_kernel())
        if not details:
            value = graph.op("MatMul", self._activated(value), kernel)
            bias = graph.floats(np.tile(folded.weights["mask_decoder.output_upscaling.3.bias"], 4))
            yield graph.reshape(graph.op("BiasGelu", value, bias, domain=FUSED), -1, 32)
            return
        rows_each = 4 * folded.network.places // len(DETAILS_S0)
        for name, band in zip(DETAILS_S0, graph.split(value, [rows_each] * len(DETAILS_S0), axis=0), strict=True):
            upscaled = graph.op("Gemm", self._activated(band), kernel, details[name])
            yield graph.reshape(graph.op("Gelu", upscaled, domain=FUSED), -1, 32)

    def _activated(self, value: str) -> str:
        """Apply what follows the first upscaling."""
        prefix = "mask_decoder.output_upscaling.1"
        value = layer_norm(self._graph, self._folded.weights, prefix, value, epsilon=1e-6)
        return self._graph.op("Gelu", value, domain=FUSED)

    def _second_kernel(self) -> Array:
        kernel = self._folded.array("mask_decoder.output_upscaling.3.weight")
        return kernel.transpose(0, 2, 3, 1).reshape(64, 128)
