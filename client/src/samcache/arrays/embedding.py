"""Embeddings from the files that the service sends."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.frame import EMBEDDING_SHAPE
from samcache.errors import UnexpectedAnswer

_MAIN = "embedding"
"""Name of the image embedding in a file of several arrays. SAM 2's features of higher resolution stand beside it."""


def embedding_of(file: bytes) -> NDArray[np.float32]:
    """The image embedding, (1, 256, 64, 64) float32, of a `.npy` file, or of a `.npz` file that has several arrays.

    Raises:
        UnexpectedAnswer: the file is something else.
    """
    try:
        found = np.load(io.BytesIO(file), allow_pickle=False)
        array = found[_MAIN] if isinstance(found, np.lib.npyio.NpzFile) else found
    except (ValueError, EOFError, OSError, LookupError, zipfile.BadZipFile) as error:
        raise UnexpectedAnswer(f"the embedding is neither a .npy nor a .npz file: {error}") from error
    if not isinstance(array, np.ndarray) or array.shape != EMBEDDING_SHAPE:
        raise UnexpectedAnswer("the embedding does not have the shape of SAM's")
    return array.astype(np.float32)
