"""What `RemoteSamPredictor` and its asyncio twin share: all of a predictor but the sending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from prompt_api.client import flows
from prompt_api.client.arrays import embedding_of, png_of
from prompt_api.client.flows import Prompt
from prompt_api.client.prompting import (
    KnownLogits,
    Predicted,
    batched_prompts,
    chunks,
    like_the_arguments,
    predicted,
    single_prompt,
    stacked,
)
from prompt_api.client.transform import ResizeLongestSide
from prompt_api.client.wire import Deadline, Flow
from shared.contract.errors import ImageTooLarge, InvalidPrompt
from shared.contract.geometry import Size, resized_size
from shared.contract.models import IMAGE_SIZE

_BATCH = 16
"""Prompts per request: the low-res logits of their three masks are 8 MB."""

_TO_PREDICT = "before mask prediction"


@dataclass(frozen=True, slots=True)
class RemoteImageEncoder:
    """What tools read of `predictor.model.image_encoder`."""

    img_size: int = IMAGE_SIZE


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """What tools read of `predictor.model`.

    Attributes:
        name: as the service knows it; None: its default.
    """

    name: str | None
    mask_threshold: float = 0.0
    image_format: str = "RGB"
    device: str = "cpu"
    image_encoder: RemoteImageEncoder = RemoteImageEncoder()


@dataclass(frozen=True, slots=True)
class _CurrentImage:
    """Attributes:
    data: the file, kept for sending it again should the service forget it.
    original: (height, width), EXIF orientation applied.
    """

    image_id: str
    data: bytes
    original: Size


class PredictorCore:
    """The current image, and each call as a flow."""

    def __init__(self, model: str | None, timeout: float) -> None:
        self.model = RemoteModel(model)
        self.transform = ResizeLongestSide()
        self._timeout = timeout
        self._known = KnownLogits()
        self._image: _CurrentImage | None = None
        self._embedding: NDArray[np.float32] | None = None

    @property
    def device(self) -> str:
        """Where tensors that a tool makes for this predictor should be: `cpu`."""
        return self.model.device

    @property
    def is_image_set(self) -> bool:
        return self._image is not None

    @property
    def original_size(self) -> Size:
        """(height, width) of the current image, EXIF orientation applied."""
        return self._current("to have a size").original

    @property
    def input_size(self) -> Size:
        """(height, width) of the current image in SAM's input frame."""
        return resized_size(self.original_size)

    @property
    def image_id(self) -> str:
        """Of the current image, for the rest of the HTTP API."""
        return self._current("to have an id").image_id

    def reset_image(self) -> None:
        """Forget the current image. The service keeps its embedding."""
        self._image = None
        self._embedding = None
        self._known.clear()

    def set_torch_image(self, transformed_image: Any, original_image_size: tuple[int, ...]) -> NoReturn:
        """Not possible here: the service takes images and resizes them itself, the same way for everyone.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a remote predictor takes the image itself: use set_image or set_image_file")

    def _current(self, what_for: str) -> _CurrentImage:
        if self._image is None:
            raise RuntimeError(f"An image must be set with .set_image(...) {what_for}.")
        return self._image

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout)

    def _set_pixels(self, png: bytes) -> Flow[None]:
        try:
            yield from self._set(png)
        except ImageTooLarge as error:
            hint = f"as PNG these pixels take {len(png):,} bytes; set_image_file sends the file they came from as it is"
            raise ImageTooLarge(f"{error.detail}; {hint}", **error.extra) from error

    def _set(self, data: bytes) -> Flow[None]:
        self.reset_image()
        image = yield from flows.ready(flows.image_id_of(data), data, self.model.name, self._deadline())
        self._image = _CurrentImage(image.image_id, data, image.size)

    def _predict_one(
        self,
        point_coords: NDArray[Any] | None,
        point_labels: NDArray[Any] | None,
        box: NDArray[Any] | None,
        mask_input: NDArray[Any] | None,
        *,
        multimask: bool,
        full_logits: bool,
    ) -> Flow[Predicted]:
        def build(known: KnownLogits) -> list[Prompt]:
            return [single_prompt(point_coords, point_labels, box, mask_input, known)]

        return (yield from self._predict(build, multimask, full_logits))[0]

    def _predict_batch(
        self, point_coords: Any, point_labels: Any, boxes: Any, mask_input: Any, *, multimask: bool, full_logits: bool
    ) -> Flow[tuple[Any, ...]]:
        original = self._current(_TO_PREDICT).original

        def build(known: KnownLogits) -> list[Prompt]:
            return batched_prompts(point_coords, point_labels, boxes, mask_input, original=original, known=known)

        answers = stacked((yield from self._predict(build, multimask, full_logits)))
        return like_the_arguments(answers, point_coords, point_labels, boxes, mask_input)

    def _predict(
        self, build: Callable[[KnownLogits], list[Prompt]], multimask: bool, full_logits: bool
    ) -> Flow[list[Predicted]]:
        """Args:
        build: the prompts, given the logits that a token can stand for.
        """
        image = self._current(_TO_PREDICT)
        prompts = build(self._known)
        try:
            return (yield from self._ask(image, prompts, multimask, full_logits))
        except InvalidPrompt:
            if not any("mask_token" in prompt for prompt in prompts):
                raise
        # A token that the service no longer knows; the logits themselves never expire.
        return (yield from self._ask(image, build(KnownLogits()), multimask, full_logits))

    def _ask(
        self, image: _CurrentImage, prompts: Sequence[Prompt], multimask: bool, full_logits: bool
    ) -> Flow[list[Predicted]]:
        """Masks come as RLE, which is exact: logits come as float16, from which some pixel of a mask's edge would
        differ.
        """
        deadline = self._deadline()
        answers: list[Predicted] = []
        for some in chunks(prompts, _BATCH):
            answer = yield from flows.masks(
                image.image_id,
                some,
                self.model.name,
                deadline,
                multimask=multimask,
                form="logits" if full_logits else "rle",
                logits=True,
                data=image.data,
            )
            answers += [
                predicted(masks, image.original, self._known, full_logits=full_logits) for masks in answer.results
            ]
        return answers

    def _get_embedding(self) -> Flow[NDArray[np.float32]]:
        image = self._current("to generate an embedding")
        if self._embedding is None:
            npy = yield from flows.embedding(image.image_id, self.model.name, self._deadline(), image.data)
            self._embedding = embedding_of(npy)
        return self._embedding

    def _encoded(self, image: NDArray[np.uint8], image_format: str) -> bytes:
        assert image_format in ("RGB", "BGR"), f"image_format must be in ['RGB', 'BGR'], is {image_format}."
        pixels = np.asarray(image)
        assert pixels.ndim == 3 and pixels.shape[2] == 3, f"image must be HWC with 3 channels, is {pixels.shape}."  # noqa: PT018 - one sentence
        if pixels.dtype != np.uint8:
            raise TypeError(f"image must be uint8, is {pixels.dtype}")
        return png_of(pixels if image_format == self.model.image_format else pixels[..., ::-1])
