"""Embeddings from the files that the service sends."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.frame import EMBEDDING_SHAPE
from samcache.errors import UnexpectedAnswer


def embedding_of(npy: bytes) -> NDArray[np.float32]:
    """The image embedding, (1, 256, 64, 64) float32, of a `.npy` file.

    Raises:
        UnexpectedAnswer: the file is something else.
    """
    try:
        array = np.load(io.BytesIO(npy), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UnexpectedAnswer(f"the embedding is not a .npy file: {error}") from error
    if not isinstance(array, np.ndarray) or array.shape != EMBEDDING_SHAPE:
        raise UnexpectedAnswer("the embedding does not have the shape of SAM's")
    return array.astype(np.float32)
