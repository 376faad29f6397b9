"""`RemoteSamPredictor` for asyncio."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray

from prompt_api.client.predictor_core import PredictorCore
from prompt_api.client.prompting import Predicted
from prompt_api.client.service import DEFAULT_TIMEOUT, DEFAULT_URL
from prompt_api.client.transport import Service, default_async_client, run_async
from prompt_api.client.wire import Flow

T = TypeVar("T")


class AsyncRemoteSamPredictor(PredictorCore):
    """`RemoteSamPredictor` for asyncio: the same, awaited. One image at a time, one call at a time."""

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
        super().__init__(Service(url, token), model, timeout)
        self._own = http is None
        self._http = default_async_client() if http is None else http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._own:
            await self._http.aclose()

    async def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        """As `RemoteSamPredictor.set_image`."""
        await self._run(self._set(await asyncio.to_thread(self._encoded, image, image_format)))

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
    ) -> Predicted:
        """As `RemoteSamPredictor.predict`."""
        flow = self._predict_one(
            point_coords, point_labels, box, mask_input, multimask=multimask_output, full_logits=return_logits
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
    ) -> tuple[Any, ...]:
        """As `RemoteSamPredictor.predict_torch`."""
        flow = self._predict_batch(
            point_coords, point_labels, boxes, mask_input, multimask=multimask_output, full_logits=return_logits
        )
        return await self._run(flow)

    async def get_image_embedding(self) -> NDArray[np.float32]:
        """As `RemoteSamPredictor.get_image_embedding`."""
        return await self._run(self._get_embedding())

    async def _run(self, flow: Flow[T]) -> T:
        return await run_async(self._http, self._service, flow)
