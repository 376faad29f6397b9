"""`segment_anything.SamPredictor`'s interface over the service: the image goes up once, each `predict` is a request.

docs/client.md lists what differs from the original.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from prompt_api.client.connection import DEFAULT_TIMEOUT, DEFAULT_URL, Connected
from prompt_api.client.predictor_core import PredictorCore
from prompt_api.client.prompting import Predicted
from prompt_api.client.transport import Service


class RemoteSamPredictor(Connected, PredictorCore):
    """`SamPredictor` for one image at a time, as the original: not thread-safe. A context manager."""

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
            model: name of a model it serves; None: its default.
            token: what the service knows you by, if it asks; use HTTPS then, unless it is on this machine.
            timeout: seconds that one call here may take in all, waiting for the encoder included.
            http: your own client, for headers, proxies or certificates; closing it stays with you.
        """
        Connected.__init__(self, Service(url, token), http)
        PredictorCore.__init__(self, model, timeout)

    def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        """Make this the current image, and wait until the service has its embedding.

        It is sent as PNG, and only if the service does not know it: nobody pays for an image twice.

        Args:
            image: (H, W, 3) uint8.
            image_format: order of its channels, `RGB` or `BGR`.

        Raises:
            AssertionError: as the original, another format or number of channels.
            TypeError: not uint8.
            SamCacheError: what the service says; no image is set then.
        """
        self._run(self._set_pixels(self._encoded(image, image_format)))

    def set_image_file(self, image: str | Path | bytes) -> None:
        """`set_image` for a JPEG, PNG or WEBP as it is: less to send, and the id that other clients of the file have.

        EXIF orientation is applied: coordinates and masks are those of the upright image.

        Raises:
            OSError: the file cannot be read.
            SamCacheError: what the service says; no image is set then.
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
    ) -> Predicted:
        """Masks for one prompt on the current image.

        Args:
            point_coords: (N, 2), (x, y) in pixels of the image.
            point_labels: (N,), 1 foreground, 0 background.
            box: (4,) or (1, 4), (x0, y0, x1, y1) in pixels.
            mask_input: (1, 256, 256) low-res logits of an earlier answer.
            multimask_output: three masks, or one.
            return_logits: logits at the image's size in place of masks.

        Returns:
            Masks (K, H, W) bool, or float32 logits; scores (K,) float32; low-res logits (K, 256, 256) float32,
            rounded to float16 on the way. The masks are not: they are exact.

        Raises:
            RuntimeError: no image is set.
            AssertionError: points without labels.
            ValueError: an array of another shape.
            SamCacheError: what the service says.
        """
        flow = self._predict_one(
            point_coords, point_labels, box, mask_input, multimask=multimask_output, full_logits=return_logits
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
    ) -> tuple[Any, ...]:
        """Masks for a batch of B prompts, already in SAM's input frame (see `transform`).

        Args:
            point_coords: (B, N, 2) or None; tensors or arrays, as all of these.
            point_labels: (B, N) or None.
            boxes: (B, 4) or None.
            mask_input: (B, 1, 256, 256) or None.

        Returns:
            As `predict`, with a leading axis B: torch tensors on the arguments' device if one of them is a tensor,
            else numpy arrays.

        Raises:
            As `predict`.
        """
        flow = self._predict_batch(
            point_coords, point_labels, boxes, mask_input, multimask=multimask_output, full_logits=return_logits
        )
        return self._run(flow)

    def get_image_embedding(self) -> NDArray[np.float32]:
        """(1, 256, 64, 64) float32: a numpy array where the original returns a torch tensor; float16 on the way.

        Raises:
            RuntimeError: no image is set.
        """
        return self._run(self._get_embedding())
