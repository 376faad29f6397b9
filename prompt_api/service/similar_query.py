"""What a client asks a search for similar objects, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from prompt_api.masks.cleaning import AS_IT_IS, Cleaning
from prompt_api.masks.given import GivenMask
from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.service.prompts import ImagePrompt, Point
from prompt_api.similar.interface import SearchOptions
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey


@dataclass(frozen=True, slots=True, eq=False)
class AskedExample:
    """An example as the client gave it.

    Attributes:
        prompt: shows the object. It has either a mask token alone, or a mask alone, or points, a box or both.
        image_id: the image that the object is in; None for the image that is searched.
        label: 1 what looks like this is meant, 0 it is not meant.
    """

    prompt: ImagePrompt
    image_id: str | None = None
    label: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class SimilarQuery:
    """A search on one image, and the form of its masks.

    Attributes:
        examples: at least one of label 1.
        exclude: masks over the image that are known already, not decoded yet.
        format: how each mask is written; not `MaskFormat.LOGITS`.
        cleaning: what is cleaned in each mask. Its click is the point that gave the mask.
        tolerance: pixels by which polygons may leave the mask's edge.
    """

    examples: tuple[AskedExample, ...]
    options: SearchOptions = field(default_factory=SearchOptions)
    exclude: tuple[GivenMask, ...] = ()
    format: MaskFormat = MaskFormat.RLE
    cleaning: Cleaning = AS_IT_IS
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class SimilarObject:
    """One object that looks like the examples.

    Attributes:
        similarity: 0 to 1, larger is more alike.
        score: the IoU that the model predicts for the mask.
        mask: area, box, and the mask in the format asked for.
        token: the mask token that refines this mask.
        point: the point that gave the mask, in pixels of the original.
    """

    similarity: float
    score: float
    mask: EncodedMask
    token: str
    point: Point


class SimilarWriter(Protocol):
    """Takes the objects that a search found, by falling similarity, so that they are not all in memory at once."""

    def begin(self, key: EmbeddingKey, original: Size) -> None:
        """Begin the answer. `original` is the (height, width) of the EXIF-oriented original."""
        ...

    def add(self, found: SimilarObject) -> None:
        """Add the next object."""
        ...

    def end(self, *, truncated: bool) -> None:
        """End the answer.

        Args:
            truncated: whether there may be more.
        """
        ...
