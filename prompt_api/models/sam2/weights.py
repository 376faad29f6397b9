"""The weights of SAM 2's prompt encoder and mask decoder, under the names of its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.sam2.network import NETWORK
from prompt_api.models.two_way.weights import checked_against, expected_shapes


def from_checkpoint(arrays: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.float32]]:
    """Return the arrays that the mask decoder needs, under segment_anything's names, as contiguous float32.

    Args:
        arrays: from a state dict of `sam2.modeling.sam2_base.SAM2Base`. Only names that begin with
            `sam_prompt_encoder.` and `sam_mask_decoder.` are read.

    Raises:
        WeightsError: an array is missing, has another shape, or holds values that are not finite.
    """
    names = {checkpoint_name(name): name for name, _ in expected_shapes(NETWORK)}
    shapes = {checkpoint_name(name): shape for name, shape in expected_shapes(NETWORK)}
    return {names[name]: array for name, array in checked_against(arrays, shapes, "SAM 2 mask decoder").items()}


def checkpoint_name(name: str) -> str:
    """Return the name in SAM 2's checkpoints of the weight that segment_anything calls `name`."""
    return f"sam_{re.sub(r'mlp.lin([12])', lambda found: f'mlp.layers.{int(found[1]) - 1}', name)}"
