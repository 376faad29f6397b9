"""`segment_anything.SamPredictor`'s interface over the service. An image is sent once; each `predict` is one request.

docs/client.md lists what differs from the original.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samcache.http.connection import DEFAULT_TIMEOUT, DEFAULT_URL, Connected
from samcache.http.endpoint import Endpoint
from samcache.predictor.core import PredictorCore
from samcache.predictor.prompting import Predicted
from samcache.service.flows import Part

if TYPE_CHECKING:
    import httpx


class RemoteSamPredictor(Connected, PredictorCore):
    """`SamPredictor` over the service, with one current image. Threads may not share it, as with the original.

    A context manager: it closes its connections at the end.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        model: str | None = None,
        token: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        http: httpx.Client | None = None,
    ) -> None:
        """
        Args:
            url: where the service answers.
            model: the name of a model that it serves; None: its default.
            token: the token that the service knows you by, if it wants one. Use HTTPS, or a service on this machine.
            timeout: seconds that one call of a method may take in all. Waiting for the encoder counts.
            http: your own httpx client, for headers, proxies or certificates. You close it yourself.
        """
        Connected.__init__(self, Endpoint(url, token), http)
        PredictorCore.__init__(self, model, timeout)

    def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        """Make this the current image, and wait until the service has its embedding.

        The pixels are sent as PNG. They are not sent if the service knows the image.

        Args:
            image: (H, W, 3) uint8.
            image_format: the order of its channels, `RGB` or `BGR`.

        Raises:
            AssertionError: the order or the number of channels is not supported, as with the original.
            TypeError: the pixels are not uint8.
            SamCacheError: the service refuses the image or does not answer. Then no image is set.
        """
        self._run(self._set_pixels(self._encoded(image, image_format)))

    def set_image_file(self, image: str | Path | bytes) -> None:
        """`set_image` for a file of any format that the service accepts. It is sent as it is, under its own id.

        Its EXIF orientation is applied: coordinates and masks are those of the upright image.

        Args:
            image: path of the file, or its bytes.

        Raises:
            OSError: the file cannot be read.
            SamCacheError: the service refuses the image or does not answer. Then no image is set.
        """
        self._run(self._set(image if isinstance(image, bytes) else Path(image).read_bytes()))

    def predict(  # noqa: PLR0917 - SamPredictor's signature
        self,
        point_coords: NDArray[Any] | None = None,
        point_labels: NDArray[Any] | None = None,
        box: NDArray[Any] | None = None,
        mask_input: NDArray[Any] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        *,
        region: Part = None,
        mask: NDArray[Any] | None = None,
    ) -> Predicted:
        """Masks for one prompt on the current image.

        Args:
            point_coords: (N, 2), (x, y) in pixels of the image.
            point_labels: (N,), 1 for foreground, 0 for background, -1 for padding; one 2 and one 3 are the corners of
                a box. At most 64.
            box: (4,) or (1, 4), (x0, y0, x1, y1) in pixels. As for the original, the corners may be swapped.
            mask_input: (1, 256, 256) low-res logits of an earlier answer.
            multimask_output: True gives three masks, False one.
            return_logits: True gives logits at the size of the image in place of masks. Outside the region they are
                -32.
            region: the part of the image that answers: (x0, y0, x1, y1) in whole pixels; `auto`, the region that suits
                the prompt; None, the whole image. The first prompt waits until the region is encoded. With `auto` the
                whole image answers if that takes longer than the timeout. `last_region` says what answered.
            mask: (H, W), a mask of the image to refine, in place of `mask_input`. Pixels that are not 0 are inside. Its
                box is used too, unless there is a box.

        Returns:
            Masks (K, H, W) bool, or float32 logits; scores (K,) float32; low-res logits (K, 256, 256) float32, which
            are of the region. Logits are rounded to float16 on the way. Masks travel without loss.

        Raises:
            RuntimeError: no image is set.
            AssertionError: there are points without labels.
            ValueError: an array has another shape, labels have no meaning, or `region` is no region.
            SamCacheError: the service refuses the prompt or does not answer.
        """
        flow = self._predict_one(
            point_coords,
            point_labels,
            box,
            mask_input,
            multimask=multimask_output,
            full_logits=return_logits,
            region=region,
            mask=mask,
        )
        return self._run(flow)

    def predict_torch(  # noqa: PLR0917 - SamPredictor's signature
        self,
        point_coords: Any,
        point_labels: Any,
        boxes: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        *,
        region: Part = None,
    ) -> tuple[Any, ...]:
        """Masks for a batch of B prompts, whose coordinates `transform` has brought into SAM's input frame.

        Args: tensors or arrays.
            point_coords: (B, N, 2), or a list of B arrays (N, 2) with any N each, or None.
            point_labels: (B, N), or a list of B arrays (N,), or None. Label -1 pads a prompt with fewer points.
            boxes: (B, 4) or None.
            mask_input: (B, 1, 256, 256) or None.
            region: as `predict`. With `auto` each prompt is a request of its own.

        Returns:
            As `predict`, with a leading axis B. They are torch tensors on the device of the first argument that is a
            tensor, or numpy arrays if none is.

        Raises:
            As `predict`.
        """
        flow = self._predict_batch(
            point_coords,
            point_labels,
            boxes,
            mask_input,
            multimask=multimask_output,
            full_logits=return_logits,
            region=region,
        )
        return self._run(flow)

    def get_image_embedding(self) -> NDArray[np.float32]:
        """The embedding of the current image, (1, 256, 64, 64) float32. It travels as float16.

        It is a numpy array, where the original returns a torch tensor.

        Raises:
            RuntimeError: no image is set.
        """
        return self._run(self._get_embedding())
