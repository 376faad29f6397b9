"""Random weights, to test the decoder's graphs without a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.sam1.weights import expected_shapes


def random_weights(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return all weights of a SAM mask decoder, scaled so that no layer's output explodes."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in expected_shapes():
        if "norm" in name and name.endswith("weight"):
            values = rng.normal(1, 0.1, shape)
        else:
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 100
            values = rng.normal(0, 1, shape) / np.sqrt(fan_in)
        weights[name] = values.astype(np.float32)
    return weights


def random_embedding(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.5, (1, 256, 64, 64)).astype(np.float32)
