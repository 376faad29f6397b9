"""Weights, image embeddings and mask prompts for SAM 2's decoder, drawn from seeds alone.

`numpy.random.RandomState` gives the same numbers in every version of numpy, so what Meta's code answered to them once
can be compared with at any time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.sam2.network import NETWORK
from prompt_api.models.sam2.weights import checkpoint_name
from prompt_api.models.two_way.weights import expected_shapes

Floats = NDArray[np.float32]

_MASK_GAIN = 6.0
"""Makes the masks' logits as large as those of a trained model, so that some masks are stable and some are not."""

_ATTENTION_GAIN = 0.5
"""Keeps attention from choosing a single place. The choice would hang on how numbers are rounded."""


def drawn_weights(seed: int) -> dict[str, Floats]:
    """Return all weights of the mask decoder under the names of SAM 2's checkpoints.

    They are scaled so that no layer's output explodes or vanishes.
    """
    random = np.random.RandomState(seed)
    weights = {}
    for name, shape in expected_shapes(NETWORK):
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 100
        scale, mean = fan_in**-0.5, 0.0
        if "gaussian" in name:
            scale = 1.0
        if "q_proj" in name or "k_proj" in name:
            scale *= _ATTENTION_GAIN
        if "norm" in name and name.endswith("weight"):
            scale, mean = 0.1, 1.0
        if "hypernetworks" in name and "layers.2" in name:
            scale *= _MASK_GAIN
        weights[checkpoint_name(name)] = (mean + scale * random.standard_normal(shape)).astype(np.float32)
    return weights


def drawn_tensors(seed: int) -> dict[str, Floats]:
    """Return the tensors of an image embedding. They are smooth, so that masks have few and long borders."""
    random = np.random.RandomState(seed)
    return {spec.name: _smooth(random, spec.shape, detail=5) for spec in NETWORK.architecture.tensors}


def drawn_mask_prompt(seed: int) -> Floats:
    """Return smooth low-res logits, (256, 256), of about +-10."""
    return 10 * _smooth(np.random.RandomState(seed), (256, 256), detail=5)


def _smooth(random: np.random.RandomState, shape: tuple[int, ...], detail: int) -> Floats:
    """Return normal numbers on a grid of `detail` x `detail`, resized bilinearly to the last two axes of `shape`."""
    coarse = random.standard_normal((*shape[:-2], detail, detail))
    down, across = (_resize(detail, side) for side in shape[-2:])
    return np.asarray(down @ coarse @ across.T, np.float32)


def _resize(inputs: int, outputs: int) -> NDArray[np.float64]:
    """Return the (outputs, inputs) matrix of a linear resize that keeps the first and the last number."""
    places = np.linspace(0, inputs - 1, outputs)
    return np.asarray(np.maximum(0, 1 - np.abs(places[:, None] - np.arange(inputs))), np.float64)
