"""What differs between the mask decoders that are built on SAM's two-way transformer."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.models import Architecture, TensorSpec


@dataclass(frozen=True, slots=True)
class Network:
    """The form of a prompt encoder and mask decoder. All sizes come from the architecture.

    Attributes:
        architecture: gives the sides of the frame, the embedding and the low-res logits, and the embedding's tensors.
        leading: names of the output tokens before the mask tokens. The last of them is the IoU token.
        sigmoid_scores: True if the scores go through a sigmoid.
        padded: True if an image may leave a part of the frame empty.
        limit: the largest size of the low-res logits that the model's own predictor returns. None: they have no limit.
    """

    architecture: Architecture
    leading: tuple[str, ...]
    sigmoid_scores: bool
    padded: bool
    limit: float | None

    @property
    def side(self) -> int:
        """Length of each side of the frame, in pixels."""
        return self.architecture.frame.side

    @property
    def grid(self) -> int:
        """Rows and columns of the embedding."""
        return self.architecture.tensors[0].shape[-1]

    @property
    def places(self) -> int:
        """Places of the embedding, P."""
        return self.grid * self.grid

    @property
    def low_res_side(self) -> int:
        """Length of each side of the low-res logits: four times `grid`."""
        return self.architecture.low_res_side

    @property
    def high_res(self) -> tuple[TensorSpec, ...]:
        """The high-resolution features of the image, which the upscaling adds, the smaller first. Or none."""
        return self.architecture.tensors[1:]
