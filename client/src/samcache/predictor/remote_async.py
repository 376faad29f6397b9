"""`RemoteSamPredictor` for asyncio."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samcache.http.connection import DEFAULT_TIMEOUT, DEFAULT_URL, AsyncConnected
from samcache.http.endpoint import Endpoint
from samcache.predictor.core import PredictorCore
from samcache.predictor.prompting import Predicted
from samcache.service.flows import Part

if TYPE_CHECKING:
    import httpx


class AsyncRemoteSamPredictor(AsyncConnected, PredictorCore):
    """`RemoteSamPredictor` for asyncio: the same methods, awaited. It has one image, and takes one call, at a time."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        model: str | None = None,
        token: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Args: as `RemoteSamPredictor`."""
        AsyncConnected.__init__(self, Endpoint(url, token), http)
        PredictorCore.__init__(self, model, timeout)

    async def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        """As `RemoteSamPredictor.set_image`."""
        await self._run(self._set_pixels(await asyncio.to_thread(self._encoded, image, image_format)))

    async def set_image_file(self, image: str | Path | bytes) -> None:
        """As `RemoteSamPredictor.set_image_file`."""
        await self._run(
            self._set(image if isinstance(image, bytes) else await asyncio.to_thread(Path(image).read_bytes))
        )

    async def predict(  # noqa: PLR0917 - SamPredictor's signature
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
        """As `RemoteSamPredictor.predict`."""
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
        return await self._run(flow)

    async def predict_torch(  # noqa: PLR0917 - SamPredictor's signature
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
        """As `RemoteSamPredictor.predict_torch`."""
        flow = self._predict_batch(
            point_coords,
            point_labels,
            boxes,
            mask_input,
            multimask=multimask_output,
            full_logits=return_logits,
            region=region,
        )
        return await self._run(flow)

    async def get_image_embedding(self) -> NDArray[np.float32]:
        """As `RemoteSamPredictor.get_image_embedding`."""
        return await self._run(self._get_embedding())
