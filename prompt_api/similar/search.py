"""The search."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import LoadedDecoder, PreparedImage
from prompt_api.similar.interface import Answer, Example, ImageFeatures, Permit, SearchOptions


def search(
    loaded: LoadedDecoder,
    prepared: PreparedImage,
    features: ImageFeatures,
    examples: Sequence[Example],
    options: SearchOptions,
    *,
    exclude: Sequence[ColumnRuns] = (),
    permit: Permit,
    pool: ThreadPoolExecutor | None = None,
) -> Answer:
    """Return what looks like the examples.

    The answer does not depend on `pool`.

    Args:
        loaded: the model that made the embeddings.
        prepared: what its decoder keeps of the image that is searched.
        features: those of the same image.
        examples: at least one of label 1.
        exclude: masks over the image. What is the same object as one of them is left out.
        permit: is asked before each batch of decodes.
        pool: its threads decode the points of a batch at once; without it, the calling thread decodes them.
    """
    raise NotImplementedError
