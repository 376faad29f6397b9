"""`sam2.sam2_image_predictor.SAM2ImagePredictor`'s interface over the service.

docs/client.md lists what differs from the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.frame import LOW_RES_SIZE, Size
from samcache.arrays.pixels import png_of
from samcache.http.connection import DEFAULT_TIMEOUT, DEFAULT_URL, Connected
from samcache.http.endpoint import Endpoint
from samcache.http.wire import Flow
from samcache.predictor.core import TO_EMBED, TO_PREDICT, CurrentImage, RemoteCore, checked_pixels
from samcache.predictor.prompting import KnownLogits, Predicted, array_of, batched_prompts, given_mask, stacked
from samcache.service import flows
from samcache.service.flows import Part, Prompt

if TYPE_CHECKING:
    import httpx
    from PIL.Image import Image

Batch = Sequence[Any] | None
"""An argument of `predict_batch`: one of `predict`'s for each image, or None."""


class RemoteSAM2ImagePredictor(Connected, RemoteCore):
    """`SAM2ImagePredictor` over the service, for SAM 2, SAM 2.1 and EdgeTAM. Threads may not share it.

    A context manager: it closes its connections at the end.
    """

    FRAME = "squash"

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        model: str | None = None,
        token: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        http: httpx.Client | None = None,
    ) -> None:
        """Args: as `RemoteSamPredictor`."""
        Connected.__init__(self, Endpoint(url, token), http)
        RemoteCore.__init__(self, model, timeout)
        self.mask_threshold = self.model.mask_threshold
        self._images: list[CurrentImage] = []
        self._is_batch = False

    def set_image(self, image: NDArray[np.uint8] | Image) -> None:
        """Make this the current image, and wait until the service has its embedding.

        The pixels are sent as PNG. They are not sent if the service knows the image.

        Args:
            image: (H, W, 3) uint8, RGB; or a Pillow image of mode RGB. Its EXIF orientation is not applied, as with
                the original.

        Raises:
            NotImplementedError: it is neither an array nor a Pillow image, as with the original.
            AssertionError: it does not have three channels, as with the original.
            TypeError: the pixels are not uint8.
            ValueError: the model is not one for this class. The sentence names the class to use.
            SamCacheError: the service refuses the image or does not answer. Then no image is set.
        """
        self.reset_predictor()
        if not isinstance(image, np.ndarray) and not hasattr(image, "getbands"):
            raise NotImplementedError("Image format not supported")
        self._images = self._run(self._set([image]))

    def set_image_batch(self, image_list: list[NDArray[np.uint8]]) -> None:
        """Make these the current images, for `predict_batch`. They may differ in size, and are encoded together.

        Args:
            image_list: arrays (H, W, 3) uint8, RGB.

        Raises:
            AssertionError: this is not a list of arrays with three channels, as with the original.
            TypeError, ValueError, SamCacheError: as `set_image`.
        """
        self.reset_predictor()
        assert isinstance(image_list, list), "image_list must be a list"
        for image in image_list:
            assert isinstance(image, np.ndarray), "Images are expected to be np.ndarray in RGB format, of shape HWC"
        self._images = self._run(self._set(image_list))
        self._is_batch = True

    def predict(  # noqa: PLR0917 - SAM2ImagePredictor's signature
        self,
        point_coords: NDArray[Any] | None = None,
        point_labels: NDArray[Any] | None = None,
        box: NDArray[Any] | None = None,
        mask_input: NDArray[Any] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
        *,
        region: Part = None,
        mask: NDArray[Any] | None = None,
    ) -> Predicted:
        """Masks on the current image, for one prompt or for B prompts. After `set_image_batch`: on its last image.

        Args:
            point_coords: (N, 2) or (B, N, 2), (x, y) in pixels of the image.
            point_labels: (N,) or (B, N): 1 for foreground, 0 for background, -1 for padding; one 2 and one 3 are the
                corners of a box.
            box: (4,) or (B, 4), (x0, y0, x1, y1) in pixels. The corners may be swapped.
            mask_input: low-res logits of an earlier answer: (1, 256, 256), which all B prompts use, or
                (B, 1, 256, 256).
            multimask_output: True gives three masks, False one.
            return_logits: only False. Logits of the image's size cannot be computed exactly from what the service
                sends.
            normalize_coords: False if coordinates are fractions of the width and the height instead of pixels.
            region: the part of the image that answers: (x0, y0, x1, y1) in whole pixels; `auto`, the region that suits
                the prompt; None, the whole image. The first prompt waits until the region is encoded. With `auto` the
                whole image answers if that takes longer than the timeout. `last_region` says what answered.
            mask: (H, W), a mask of the image to refine, in place of `mask_input`, which all B prompts use. Pixels that
                are not 0 are inside. Its box is used too, unless there is a box.

        Returns:
            Masks (K, H, W) float32, 0 or 1; scores (K,) float32; low-res logits (K, 256, 256) float32, which are of the
            region, from -32 to 32, and rounded to float16 on the way. With B > 1 prompts each has a leading axis B.

        Raises:
            RuntimeError: no image is set.
            AssertionError: there are points without labels.
            NotImplementedError: `return_logits` is True.
            ValueError: an array has another shape, labels have no meaning, two batches differ in size, or `region` is
                no region.
            SamCacheError: the service refuses the prompt or does not answer.
        """
        image = self._current(TO_PREDICT)
        flow = self._masks(
            image,
            (point_coords, point_labels, box, mask_input),
            multimask_output,
            return_logits,
            normalize_coords,
            region=region,
            mask=mask,
        )
        return self._run(flow)

    def predict_batch(  # noqa: PLR0917 - SAM2ImagePredictor's signature
        self,
        point_coords_batch: Batch = None,
        point_labels_batch: Batch = None,
        box_batch: Batch = None,
        mask_input_batch: Batch = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
        *,
        region: Part = None,
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """`predict` for each image of `set_image_batch`.

        Args: lists with the arguments of `predict` for each image. `region` is one for all of them.

        Returns:
            The masks, the scores and the low-res logits of `predict`, each as a list over the images.

        Raises:
            AssertionError: `set_image_batch` was not called.
            IndexError: a list is shorter than the list of images.
            As `predict`.
        """
        assert self._is_batch, "This function should only be used when in batched mode"
        lists = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
        masks: list[NDArray[np.float32]] = []
        scores: list[NDArray[np.float32]] = []
        low_res: list[NDArray[np.float32]] = []
        for number, image in enumerate(self._images):
            arguments = tuple(None if each is None else each[number] for each in lists)
            flow = self._masks(image, arguments, multimask_output, return_logits, normalize_coords, region=region)
            for answers, answer in zip((masks, scores, low_res), self._run(flow), strict=True):
                answers.append(answer)
        return masks, scores, low_res

    def get_image_embedding(self) -> NDArray[np.float32]:
        """The embeddings of the current images, (B, 256, 64, 64) float32; B is 1 after `set_image`.

        They travel as float16. This is a numpy array, where the original returns a torch tensor.

        Raises:
            RuntimeError: no image is set.
        """
        self._current(TO_EMBED)
        deadline = self._deadline()
        return np.concatenate([self._run(self._embedding_of(image, deadline)) for image in self._images])

    def reset_predictor(self) -> None:
        """Forget the current images. The service keeps their embeddings."""
        self._images = []
        self._is_batch = False
        self._known.clear()

    def _current(self, what_for: str) -> CurrentImage:
        if not self._images:
            raise RuntimeError(f"An image must be set with .set_image(...) {what_for}.")
        return self._images[-1]

    def _set(self, images: Sequence[Any]) -> Flow[list[CurrentImage]]:
        files = [png_of(checked_pixels(image)) for image in images]
        deadline = self._deadline()
        yield from self._check_model(deadline)
        if len(files) > 1:  # all are sent before one is waited for, so that a worker can encode them together
            for file in files:
                yield from flows.upload(file, self.model.name, deadline)
        ready: list[CurrentImage] = []
        for file in files:
            ready.append((yield from self._ready(file, deadline)))
        return ready

    def _masks(
        self,
        image: CurrentImage,
        arguments: tuple[Any, ...],
        multimask: bool,
        return_logits: bool,
        in_pixels: bool,
        *,
        region: Part,
        mask: NDArray[Any] | None = None,
    ) -> Flow[Predicted]:
        """
        Args:
            arguments: the points, labels, box and mask input of `predict`.
            mask: a mask of the image, which all prompts use.
        """
        if return_logits:
            raise NotImplementedError(
                "return_logits=True is not possible here: the service sends low-res logits limited to +-32, and "
                "logits of the image's size cannot be computed exactly from them; use the masks or the low-res logits"
            )
        batches = _batches(*arguments)
        to_pixels = partial(_to_pixels, original=image.original, in_pixels=in_pixels)

        given = given_mask(mask, image.original)

        def build(known: KnownLogits) -> list[Prompt]:
            return [{**prompt, **given} for prompt in batched_prompts(*batches, to_pixels=to_pixels, known=known)]

        masks, scores, low_res = stacked((yield from self._predict(image, build, multimask, False, region)))
        answers = masks.astype(np.float32), scores, low_res
        if len(masks) > 1:
            return answers
        return answers[0][0], answers[1][0], answers[2][0]


def _batches(points: Any, labels: Any, box: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
    """The arguments of `predict`, each with an axis of B prompts: (B, N, 2), (B, N), (B, 4) and (B, 1, 256, 256)."""
    if points is not None:
        points = array_of(points)
        if points.ndim == 2:
            points = points[None]
        if labels is not None:
            labels = array_of(labels)
            labels = labels[None] if labels.ndim == 1 else labels
    if box is not None:
        box = array_of(box)
        box = box[None] if box.ndim == 1 else box
    if mask is not None:
        mask = array_of(mask)
        mask = mask[None] if mask.ndim == 3 else mask
        prompts = next((len(each) for each in (box, points) if each is not None), 1)
        if mask.shape == (1, 1, LOW_RES_SIZE, LOW_RES_SIZE):  # one mask serves all prompts
            mask = np.broadcast_to(mask, (prompts, 1, LOW_RES_SIZE, LOW_RES_SIZE))
    return points, labels, box, mask


def _to_pixels(coords: NDArray[np.float64], *, original: Size, in_pixels: bool) -> NDArray[np.float64]:
    """Points (..., 2) in pixels of the original. They were fractions of its width and height, unless `in_pixels`."""
    height, width = original
    return coords if in_pixels else coords * np.array([width, height], np.float64)
