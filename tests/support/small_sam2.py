"""SAM 2 with a small trunk, and random weights by Meta's names that are the same on every machine."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder_worker.backends.sam2.names import DECODER, POSITIONS, meta_names
from encoder_worker.backends.sam2.network import Hiera, empty_model

SMALL = "small"
"""Name of the small network. Tests add it to `NETWORKS`."""

SMALL_TRUNK = Hiera(width=16, heads=1, blocks=(1, 2, 2, 1), global_blocks=(4,))

Shapes = Mapping[str, tuple[int, ...]]


def meta_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the network's tensors by Meta's names, without those of the tracker."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in empty_model(network).state_dict().items():
        names = meta_names(name)
        shapes |= dict.fromkeys(names, (len(tensor) // len(names), *tensor.shape[1:]) if tensor.ndim else ())
    return shapes


def digest(shapes: Shapes) -> str:
    """Return one digest of all names and shapes."""
    return hashlib.sha256("\n".join(f"{name} {list(shapes[name])}" for name in sorted(shapes)).encode()).hexdigest()


def random_weights(shapes: Shapes) -> dict[str, NDArray[Any]]:
    """Return random weights, as large as in a trained network. Each depends on its name and shape alone."""
    return {name: _random(name, shape) for name, shape in shapes.items()}


def _random(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    if name.endswith("running_var"):
        return 1 + 0.1 * np.abs(noise)
    if noise.ndim < 2:
        return (1 if name.endswith("weight") else 0) + np.float32(0.1) * noise
    inputs = 4 if (len(shape) != 2 and shape[0] == 1) or "embed" in name else noise[0].size
    scaled: NDArray[np.float32] = noise * np.float32(inputs**-0.5)
    return scaled


def by_transformers_names(network: str, weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the same weights as transformers saves them."""
    return {
        name: np.concatenate(own) if len(own := [weights[one] for one in meta_names(name)]) > 1 else own[0]
        for name in empty_model(network).state_dict()
    }


def is_of_the_decoder(name: str) -> bool:
    """Return whether Meta's name is of the prompt encoder or the mask decoder."""
    return name.removeprefix("sam_").startswith(DECODER) and name not in POSITIONS
