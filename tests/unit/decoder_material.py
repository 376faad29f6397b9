"""Random weights, to test the decoder's graphs without a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.two_way.network import Network
from prompt_api.models.two_way.weights import expected_shapes


def random_weights(seed: int = 0, network: Network = NETWORK) -> dict[str, NDArray[np.float32]]:
    """Return all weights of a mask decoder, by default SAM's, scaled so that no layer's output explodes."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in expected_shapes(network):
        if "norm" in name and name.endswith("weight"):
            values = rng.normal(1, 0.1, shape)
        else:
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 100
            values = rng.normal(0, 1, shape) / np.sqrt(fan_in)
        weights[name] = values.astype(np.float32)
    return weights


def random_tensors(network: Network = NETWORK, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of an image embedding, by default SAM's."""
    rng = np.random.default_rng(seed)
    return {spec.name: rng.normal(0, 0.5, spec.shape).astype(np.float32) for spec in network.architecture.tensors}
