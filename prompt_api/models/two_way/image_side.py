"""Graph of the split decoder's image side: everything that depends on the embedding alone."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import onnx

from prompt_api.models.onnx.graph import Graph
from prompt_api.models.two_way.folding import INTERNAL, WIDTH, Array, Folded, centred, centring
from prompt_api.models.two_way.network import Network

DETAILS_S1 = "details_s1"
DETAILS_S0 = tuple(f"details_s0_{band}" for band in range(8))
"""The image in bands of as many rows. What the second upscaling makes of one band stays in the processor's cache."""


class Feature(IntEnum):
    """Image features of 128 channels (8 heads of 16) each, in the order of the outputs: two `placed`, nine `plain`.

    FIRST_…: what the first layer's attentions read. BASE_…: projections of B. SECOND_…: projections of B'.
    `prompt_api.models.two_way` explains B and B'.
    """

    FIRST_KEY = 0
    FIRST_QUERY = 1
    FIRST_VALUE = 2
    BASE_WRITE = 3  # the first layer's output projection, needed for the deviation
    BASE_KEY = 4
    BASE_VALUE = 5
    BASE_QUERY = 6
    SECOND_WRITE_FIRST = 7  # the first layer's output projection
    SECOND_WRITE = 8  # the second layer's
    SECOND_KEY = 9  # of the final attention
    SECOND_VALUE = 10


FIRST_FEATURES = (Feature.FIRST_KEY, Feature.FIRST_QUERY, Feature.FIRST_VALUE)
"""The features that a mask prompt changes as a whole. The other features get a mask prompt as rows of the update."""


def build_image_side(folded: Folded) -> onnx.ModelProto:
    """Build the graph. Its inputs are the tensors of the image embedding. Its outputs, with P = 4096, are:

    `placed` (2 * 128, P) and `plain` (9 * 128, P), see `Feature`;
    `mask_products` (2, 17, P), B and B' times a mask prompt's rows;
    `norms` (3, P): |B|^2, |B'|^2 and 2 B'.const, each divided by 256; `upscaled` (P, 256), B' upscaled;
    if there are high-resolution features, `image_details`.
    """
    graph = Graph("sam_image_side")
    places = folded.network.places
    image = embedding_input(graph, folded.network)

    placed, plain = placed_features(folded), plain_features(folded)
    for name, features in (("placed", placed), ("plain", plain)):
        readers, constants = (np.hstack(parts).T for parts in zip(*features, strict=True))
        product = graph.op("Gemm", graph.floats(readers), image, graph.floats(constants))
        graph.output(name, product, [len(features) * INTERNAL, places])

    into_second, second_shift = _into_second(folded)
    rows = folded.mask_rows()
    products = []
    for into, shift, added in (
        (centring(), folded.base_shift, centred(rows)),
        (into_second, second_shift, centred(centred(rows) * folded.gains[0])),
    ):
        seen = added.T * (2 / WIDTH)
        product = graph.op("MatMul", graph.floats((into @ seen).T), image)
        products.append(graph.op("Add", product, graph.floats((shift @ seen)[:, None])))
    graph.output(
        "mask_products",
        graph.reshape(graph.op("Concat", *products, axis=0), 2, len(rows), places),
        [2, len(rows), places],
    )

    graph.output("norms", graph.op("Concat", *image_norms(graph, folded, image), axis=0), [3, places])
    graph.output("upscaled", image_upscaled(graph, folded, image), [places, WIDTH])
    details = image_details(graph, folded)
    for name, shape in details_shapes(folded.network).items():
        graph.output(name, details[name], shape)
    return graph.model()


def embedding_input(graph: Graph, network: Network) -> str:
    """Declare the input `embedding`, and return it as (256, P)."""
    spec = network.architecture.tensors[0]
    return graph.reshape(graph.input(spec.name, spec.shape), WIDTH, network.places)


def details_shapes(network: Network) -> dict[str, list[int]]:
    """Return the names and the shapes of `image_details`."""
    if not network.high_res:
        return {}
    band = [4 * network.places // len(DETAILS_S0), WIDTH // 2]
    return {DETAILS_S1: [network.places, WIDTH], **dict.fromkeys(DETAILS_S0, band)}


def image_details(graph: Graph, folded: Folded) -> dict[str, str]:
    """Declare the high-resolution features as inputs, and return them in the order in which the upscaling works.

    It returns nothing if the network has no such features.

    `DETAILS_S1` (P, 256): for each place, its 2 x 2 sub-pixels (y, x) with 64 channels each. `DETAILS_S0`, (P / 2, 128)
    each: for each sub-pixel of these, its 2 x 2 sub-pixels with 32 channels each. They contain the constants of the
    upscaling that they are added to.
    """
    network = folded.network
    if not network.high_res:
        return {}
    s1, s0 = _in_order(graph, folded)
    s1 = graph.op("Add", graph.reshape(s1, network.places, WIDTH), graph.floats(folded.upscale_shift))
    rows, columns = details_shapes(network)[DETAILS_S0[0]]
    bands = graph.split(graph.reshape(s0, -1, columns), [rows] * len(DETAILS_S0), axis=0)
    return {DETAILS_S1: s1, **dict(zip(DETAILS_S0, bands, strict=True))}


def _in_order(graph: Graph, folded: Folded) -> Iterator[str]:
    """Yield each high-resolution feature, with the places of the embedding before the sub-pixels of each."""
    network = folded.network
    for spec, layer in zip(network.high_res, (0, 3), strict=True):
        _, channels, rows, columns = spec.shape
        steps = (rows // network.grid).bit_length() - 1
        flat = graph.reshape(graph.input(spec.name, spec.shape), channels, rows * columns)
        bias = graph.floats(folded.array(f"mask_decoder.output_upscaling.{layer}.bias"))
        # The sum keeps the runtime from joining both transposes to one, which takes five times as long.
        pixels = graph.op("Add", graph.op("Transpose", flat, perm=[1, 0]), bias)
        halves = [2] * steps
        split = graph.reshape(pixels, network.grid, *halves, network.grid, *halves, channels)
        # From (place, halves) of y, then of x, to the place, then the halves of y and x in turns.
        axes = [axis + offset for axis in range(1 + steps) for offset in (0, 1 + steps)]
        yield graph.op("Transpose", split, perm=[*axes, 2 * (1 + steps)])


def image_norms(graph: Graph, folded: Folded, image: str) -> list[str]:
    """Return |B|^2, |B'|^2 and 2 B'.const of `image` (256, P), each (1, P) and divided by 256."""
    mean = graph.op("ReduceMean", image, axes=[0])
    base = graph.op("Add", graph.op("Sub", image, mean), graph.floats(folded.base_shift[:, None]))
    scaled = graph.op("Mul", base, graph.floats(folded.gains[0][:, None]))
    second = graph.op("Sub", scaled, graph.op("ReduceMean", scaled, axes=[0]))
    squares = [graph.op("ReduceMean", graph.op("Mul", value, value), axes=[0]) for value in (base, second)]
    return [*squares, graph.op("MatMul", graph.floats(folded.second_shift[None] * (2 / WIDTH)), second)]


def image_upscaled(graph: Graph, folded: Folded, image: str) -> str:
    """Return B' upscaled, (places, 256), at the places of `image` (256, places)."""
    into_second, shift = _into_second(folded)
    upscaling = folded.second_readers()[:, 2 * INTERNAL :]
    return graph.op("Gemm", image, graph.floats(into_second @ upscaling), graph.floats(shift @ upscaling), transA=1)


def placed_features(folded: Folded) -> list[tuple[Array, Array]]:
    """Return the (256, 128) projection and (P, 128) constant of each feature whose constant differs between places."""
    placed = folded.no_mask + folded.positions
    key, query = folded.matrix(folded.reads[0], "k_proj"), folded.matrix(folded.writes[0], "q_proj")
    return [(key, placed @ key), (query, placed @ query + folded.bias(folded.writes[0], "q_proj"))]


def plain_features(folded: Folded) -> list[tuple[Array, Array]]:
    """Return the (256, 128) projection and (1, 128) constant of each of the other features."""
    value = folded.matrix(folded.reads[0], "v_proj")
    result = [(value, folded.no_mask @ value)]

    write = centred(folded.matrix(folded.writes[0], "out_proj"))
    in_base = [write.T * (2 / WIDTH), *np.split(folded.first_readers(), 3, axis=1)]
    result += [(centring() @ reader, folded.base_shift @ reader) for reader in in_base]

    into_second, shift = _into_second(folded)
    in_second = [
        (write * folded.gains[0]).T * (2 / WIDTH),
        folded.matrix(folded.writes[1], "out_proj").T * (2 / WIDTH),
        *np.split(folded.second_readers()[:, : 2 * INTERNAL], 2, axis=1),
    ]
    result += [(into_second @ reader, shift @ reader) for reader in in_second]
    return [(projection, constant[None]) for projection, constant in result]


def _into_second(folded: Folded) -> tuple[Array, Array]:
    """Return the (256, 256) matrix and (256,) constant that turn an embedding into B'."""
    return centring() * folded.gains[0] @ centring(), centred(folded.base_shift * folded.gains[0])
