"""The features of an image, from the tensors of its embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from prompt_api.similar.interface import ImageFeatures
from shared.contract.geometry import Size
from shared.contract.models import EMBEDDING, Architecture


def image_features(tensors: Mapping[str, NDArray[np.float32]], architecture: Architecture, size: Size) -> ImageFeatures:
    """Return what the search keeps of an embedding: 2 MiB for SAM's, less what is padding.

    Of SAM 2's three tensors it keeps the one that SAM has too.

    Args:
        tensors: the embedding, by the names and shapes of `architecture`. Not kept, not changed.
        size: (height, width) of the EXIF-oriented original.
    """
    embedding = tensors[EMBEDDING][0]
    places = embedding.shape[1] / architecture.frame.side
    height, width = (side * places for side in architecture.frame.inside(size))
    inside = embedding[:, : math.ceil(height), : math.ceil(width)]
    vectors = np.ascontiguousarray(inside.transpose(1, 2, 0), dtype=np.float16)
    vectors.flags.writeable = False
    return ImageFeatures(vectors, (height, width), size)
