"""What the predictors share: everything except the sending."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.embedding import embedding_of
from samcache.arrays.frame import FRAME_SIZE, Size, resized_size
from samcache.arrays.pixels import png_of
from samcache.errors import ImageTooLarge, InvalidPrompt
from samcache.http.wire import Deadline, Flow
from samcache.predictor.prompting import (
    KnownLogits,
    Predicted,
    batched_prompts,
    chunks,
    given_mask,
    like_the_arguments,
    predicted,
    single_prompt,
    stacked,
)
from samcache.predictor.transform import ResizeLongestSide, to_original
from samcache.service import flows
from samcache.service.flows import AUTO, Part, Prompt
from samcache.service.resources import Corners

_BATCH = 16
"""Prompts per request. The low-res logits of three masks for each are 8 MB."""

TO_PREDICT = "before mask prediction"
TO_EMBED = "to generate an embedding"

_MADE_FOR = {"longest_side": "RemoteSamPredictor or AsyncRemoteSamPredictor", "squash": "RemoteSAM2ImagePredictor"}
"""The classes for the models of each frame, by the frame's name in the contract."""


@dataclass(frozen=True, slots=True)
class RemoteImageEncoder:
    """The part of `predictor.model.image_encoder` that tools read."""

    img_size: int = FRAME_SIZE


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """The part of `predictor.model` that tools read.

    Attributes:
        name: what the service calls it; None: the service's default.
    """

    name: str | None
    mask_threshold: float = 0.0
    image_format: str = "RGB"
    device: str = "cpu"
    image_encoder: RemoteImageEncoder = RemoteImageEncoder()


@dataclass(frozen=True, slots=True)
class CurrentImage:
    """
    Attributes:
        data: the file's bytes, kept to send them again if the service drops them.
        original: (height, width), EXIF orientation applied.
    """

    image_id: str
    data: bytes
    original: Size


class RemoteCore:
    """The model, and what a predictor asks about an image, as flows."""

    FRAME: ClassVar[str]
    """Name of the frame of the models that the predictor is made for."""

    def __init__(self, model: str | None, timeout: float) -> None:
        self.model = RemoteModel(model)
        self._timeout = timeout
        self._known = KnownLogits()
        self._fits = False
        self._last_region: Corners | None = None

    @property
    def device(self) -> str:
        """The device on which a tool should make the tensors for this predictor: `cpu`."""
        return self.model.device

    @property
    def last_region(self) -> Corners | None:
        """(x0, y0, x1, y1) of the region that answered the last prompt, in pixels; None: the whole image."""
        return self._last_region

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout)

    def _check_model(self, deadline: Deadline) -> Flow[None]:
        """Ask once whether the model has the predictor's frame.

        Raises:
            ValueError: it has another. The sentence names the class to use.
        """
        if self._fits:
            return
        for model in (yield from flows.models(deadline)):
            wanted = model.default if self.model.name is None else model.name == self.model.name
            if wanted and model.frame in _MADE_FOR and model.frame != self.FRAME:
                raise ValueError(
                    f"{type(self).__name__} is not made for the model {model.name}, whose frame is {model.frame}: "
                    f"use {_MADE_FOR[model.frame]}"
                )
        # The service itself refuses a name that it does not know.
        self._fits = True

    def _ready(self, data: bytes, deadline: Deadline) -> Flow[CurrentImage]:
        image = yield from flows.ready(flows.image_id_of(data), data, self.model.name, deadline)
        return CurrentImage(image.image_id, data, image.size)

    def _embedding_of(self, image: CurrentImage, deadline: Deadline) -> Flow[NDArray[np.float32]]:
        return embedding_of((yield from flows.embedding(image.image_id, self.model.name, deadline, image.data)))

    def _predict(
        self,
        image: CurrentImage,
        build: Callable[[KnownLogits], list[Prompt]],
        multimask: bool,
        full_logits: bool,
        region: Part,
    ) -> Flow[list[Predicted]]:
        """
        Args:
            build: makes the prompts. It puts a token in place of each logits that are known.
            region: the part of the image that answers.
        """
        prompts = build(self._known)
        asked = flows.part_of(region)
        parts = [self._known.part_for(prompt, asked) for prompt in prompts]
        try:
            return (yield from self._ask(image, prompts, parts, multimask, full_logits))
        except InvalidPrompt:
            if not any("mask_token" in prompt for prompt in prompts):
                raise
        # The service no longer knows a token. Send the logits themselves.
        return (yield from self._ask(image, build(KnownLogits()), parts, multimask, full_logits))

    def _ask(
        self,
        image: CurrentImage,
        prompts: Sequence[Prompt],
        parts: Sequence[Part],
        multimask: bool,
        full_logits: bool,
    ) -> Flow[list[Predicted]]:
        """Ask for masks as RLE, which is exact. Logits come as float16; masks made of them would differ at edges.

        Args:
            parts: the part of the image that answers each prompt.
        """
        deadline = self._deadline()
        answers: list[Predicted] = []
        for some, part in _requests(prompts, parts):
            answer = yield from flows.finest_masks(
                image.image_id,
                some,
                self.model.name,
                deadline,
                multimask=multimask,
                form="logits" if full_logits else "rle",
                logits=True,
                data=image.data,
                region=part,
            )
            self._last_region = answer.region
            answers += [
                predicted(masks, image.original, self._known, full_logits=full_logits, region=answer.region)
                for masks in answer.results
            ]
        return answers


class PredictorCore(RemoteCore):
    """The current image, and each method of `SamPredictor` as a flow."""

    FRAME = "longest_side"

    def __init__(self, model: str | None, timeout: float) -> None:
        super().__init__(model, timeout)
        self.transform = ResizeLongestSide()
        self._image: CurrentImage | None = None
        self._embedding: NDArray[np.float32] | None = None

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
        """The id of the current image, for other calls of the HTTP API."""
        return self._current("to have an id").image_id

    def reset_image(self) -> None:
        """Forget the current image. The service keeps its embedding."""
        self._image = None
        self._embedding = None
        self._known.clear()

    def set_torch_image(self, transformed_image: Any, original_image_size: tuple[int, ...]) -> NoReturn:
        """Not possible here: the service takes images, and resizes them itself.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a remote predictor takes the image itself: use set_image or set_image_file")

    def _current(self, what_for: str) -> CurrentImage:
        if self._image is None:
            raise RuntimeError(f"An image must be set with .set_image(...) {what_for}.")
        return self._image

    def _set_pixels(self, png: bytes) -> Flow[None]:
        try:
            yield from self._set(png)
        except ImageTooLarge as error:
            hint = f"as PNG these pixels take {len(png):,} bytes; set_image_file sends the file they came from as it is"
            raise ImageTooLarge(f"{error.detail}; {hint}", **error.extra) from error

    def _set(self, data: bytes) -> Flow[None]:
        self.reset_image()
        deadline = self._deadline()
        yield from self._check_model(deadline)
        self._image = yield from self._ready(data, deadline)

    def _predict_one(
        self,
        point_coords: NDArray[Any] | None,
        point_labels: NDArray[Any] | None,
        box: NDArray[Any] | None,
        mask_input: NDArray[Any] | None,
        *,
        multimask: bool,
        full_logits: bool,
        region: Part,
        mask: NDArray[Any] | None,
    ) -> Flow[Predicted]:
        image = self._current(TO_PREDICT)
        given = given_mask(mask, image.original)

        def build(known: KnownLogits) -> list[Prompt]:
            return [{**single_prompt(point_coords, point_labels, box, mask_input, known), **given}]

        return (yield from self._predict(image, build, multimask, full_logits, region))[0]

    def _predict_batch(
        self,
        point_coords: Any,
        point_labels: Any,
        boxes: Any,
        mask_input: Any,
        *,
        multimask: bool,
        full_logits: bool,
        region: Part,
    ) -> Flow[tuple[Any, ...]]:
        image = self._current(TO_PREDICT)
        to_pixels = partial(to_original, original=image.original)

        def build(known: KnownLogits) -> list[Prompt]:
            return batched_prompts(point_coords, point_labels, boxes, mask_input, to_pixels=to_pixels, known=known)

        answers = stacked((yield from self._predict(image, build, multimask, full_logits, region)))
        return like_the_arguments(answers, point_coords, point_labels, boxes, mask_input)

    def _get_embedding(self) -> Flow[NDArray[np.float32]]:
        image = self._current(TO_EMBED)
        if self._embedding is None:
            self._embedding = yield from self._embedding_of(image, self._deadline())
        return self._embedding

    def _encoded(self, image: NDArray[np.uint8], image_format: str) -> bytes:
        assert image_format in ("RGB", "BGR"), f"image_format must be in ['RGB', 'BGR'], is {image_format}."
        pixels = checked_pixels(image)
        return png_of(pixels if image_format == self.model.image_format else pixels[..., ::-1])


def _requests(prompts: Sequence[Prompt], parts: Sequence[Part]) -> Iterator[tuple[Sequence[Prompt], Part]]:
    """The prompts of each request, and the part of the image that answers it.

    With `auto` each prompt gets a request, so that each gets the region that suits it.
    """
    numbered = zip(prompts, parts, strict=True)
    for part, some in groupby(numbered, lambda pair: pair[1]):
        for chunk in chunks([prompt for prompt, _ in some], 1 if part == AUTO else _BATCH):
            yield chunk, part


def checked_pixels(image: Any) -> NDArray[np.uint8]:
    """`image` as an (H, W, 3) uint8 array.

    Raises:
        AssertionError: it has another shape.
        TypeError: its values are not uint8.
    """
    pixels = np.asarray(image)
    assert pixels.ndim == 3 and pixels.shape[2] == 3, f"image must be HWC with 3 channels, is {pixels.shape}."  # noqa: PT018 - one sentence
    if pixels.dtype != np.uint8:
        raise TypeError(f"image must be uint8, is {pixels.dtype}")
    return pixels
