"""What the search takes and gives: features of images, examples, options, and the objects that it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from shared.contract.geometry import Size

MAX_LIMIT = 500
"""The most objects of one search."""

MAX_EXAMPLES = 64
"""The most examples of one search."""

SAME = 0.5
"""Two masks whose IoU is larger than this are the same object."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """What the search keeps of the embedding of one image. Immutable, so threads can share it.

    Make it with `image_features`.

    Attributes:
        vectors: (rows, columns, channels) float16, the embedding at each place of the image. Places that are wholly
            padding are left out.
        inside: (height, width) of the image in the model's frame, in places: at most (rows, columns), not rounded.
        size: (height, width) of the EXIF-oriented original in pixels.
    """

    vectors: NDArray[np.float16]
    inside: tuple[float, float]
    size: Size

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return self.vectors.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An object that says what is meant, or what is not.

    Attributes:
        features: those of the image that the example is in. It may be another image than the one that is searched, of
            the same model and weights.
        mask: the object, over that image.
        label: 1 what looks like this is meant, 0 it is not meant.
    """

    features: ImageFeatures
    mask: ColumnRuns
    label: int = 1


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What to keep of what is found.

    Attributes:
        limit: the most objects, 1 to `MAX_LIMIT`. Those of the largest similarity stay.
        min_similarity: the least similarity of an object, 0 to 1.
        min_score: the least IoU that the model predicts for its mask, 0 to 1.
        size: the least and the largest area of an object, as a factor of the areas of the examples of label 1: at
            least the first times the smallest of them, at most the second times the largest. Areas are counted in
            pixels of the original; for an example of another image, they are brought to the scale of the searched one.
    """

    limit: int = 100
    min_similarity: float = 0.424
    min_score: float = 0.6
    size: tuple[float, float] = (0.3, 3.3)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """An object that looks like the examples.

    Attributes:
        mask: the object, over the whole image that was searched.
        similarity: 0 to 1, larger is more alike.
        score: the IoU that the model predicts for the mask.
        point: (x, y), the foreground point that gave the mask, in pixels of the original. This point alone, decoded
            with multimask, gives the mask again.
        index: 0 to 2, which of the three masks of that point it is.
    """

    mask: ColumnRuns
    similarity: float
    score: float
    point: tuple[float, float]
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a search found.

    Attributes:
        found: by falling similarity. No two are the same object, and none is the same as an excluded mask or as an
            example of label 0. An example of label 1 of the searched image is found like any other object, so the
            answer can have it unless it is excluded.
        decodes: points that were decoded.
        truncated: whether there may be more, because `limit` or `Permit` ended the search.
    """

    found: tuple[Found, ...]
    decodes: int
    truncated: bool


class Permit(Protocol):
    """Is asked in the calling thread before each batch of decodes, while nothing of the search runs.

    Here the caller charges the decodes, gives way to other requests, and looks at the time.
    """

    def __call__(self, decodes: int, /) -> bool:
        """Return False to end the search with what it has; the answer is then truncated. What it raises goes through.

        Args:
            decodes: points of the next batch.
        """
        ...
