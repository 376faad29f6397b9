"""Graph of the split decoder's mask side: turns a mask prompt into rows of the update and changed image features."""

from __future__ import annotations

import numpy as np
import onnx

from prompt_api.models.onnx.graph import Graph
from prompt_api.models.two_way.folding import HEADS, INTERNAL, MASK_ROWS, Folded
from prompt_api.models.two_way.image_side import Feature
from prompt_api.models.two_way.prompt_tokens import mask_features


def build_mask_side(folded: Folded) -> onnx.ModelProto:
    """Build the graph.

    Its inputs are `mask` (1, 1, S, S), low-res logits, and the image's `FIRST_FEATURES`, (8, 16, P) each, under
    their names in lower case.

    Its outputs are `mask_rows` (17, P); the changed features, `…_with_mask`; and the constant `mask_updates`
    (17, 1408), what the rows add downstream (`Folded.first_update`).
    """
    graph = Graph("sam_mask_side")
    places, side = folded.network.places, folded.network.low_res_side
    mask = graph.input("mask", [1, 1, side, side])
    features = graph.reshape(mask_features(graph, folded.weights, mask), MASK_ROWS - 1, places)
    rows = graph.op("Concat", features, graph.floats(np.ones((1, places))), axis=0)
    graph.output("mask_rows", rows, [MASK_ROWS, places])

    readers = {
        Feature.FIRST_KEY: folded.matrix(folded.reads[0], "k_proj"),
        Feature.FIRST_QUERY: folded.matrix(folded.writes[0], "q_proj"),
        Feature.FIRST_VALUE: folded.matrix(folded.reads[0], "v_proj"),
    }
    shape = (HEADS, INTERNAL // HEADS, places)
    for feature, reader in readers.items():
        name = feature.name.lower()
        flat = graph.reshape(graph.input(name, shape), INTERNAL, places)
        updated = graph.op("Gemm", graph.floats((folded.mask_rows() @ reader).T), rows, flat)
        graph.output(f"{name}_with_mask", graph.reshape(updated, *shape), shape)
    updates = folded.first_update(folded.mask_rows())
    graph.output("mask_updates", graph.floats(updates), updates.shape)
    return graph.model()
