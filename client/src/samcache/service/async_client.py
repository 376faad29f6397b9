"""The HTTP API as Python calls for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.embedding import embedding_of
from samcache.http.connection import DEFAULT_TIMEOUT, DEFAULT_URL, AsyncConnected
from samcache.http.endpoint import Endpoint
from samcache.http.wire import Deadline
from samcache.service import flows
from samcache.service.flows import AUTO, Clean, Part, Prompt
from samcache.service.resources import Corners, Everything, ImageInfo, Masks, ModelInfo, Readiness, Regions
from samcache.service.similar import Example, Similar, find_similar

if TYPE_CHECKING:
    import httpx


class AsyncSamCache(AsyncConnected):
    """`SamCache` for asyncio: the same calls, awaited. Any number may run at once."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        model: str | None = None,
        token: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Args: as `SamCache`."""
        super().__init__(Endpoint(url, token), http)
        self.model = model
        self._timeout = timeout

    async def readiness(self) -> Readiness:
        """As `SamCache.readiness`."""
        return await self._run(flows.readiness())

    async def models(self) -> list[ModelInfo]:
        """As `SamCache.models`."""
        return await self._run(flows.models(self._deadline()))

    async def sample(self, name: str) -> bytes:
        """As `SamCache.sample`."""
        return await self._run(flows.sample(name, self._deadline()))

    async def status(self, image_id: str) -> ImageInfo:
        """As `SamCache.status`."""
        return await self._run(flows.status(image_id, self.model, self._deadline()))

    async def upload(self, data: bytes) -> ImageInfo:
        """As `SamCache.upload`."""
        return await self._run(flows.upload(data, self.model, self._deadline()))

    async def upload_url(self, url: str) -> ImageInfo:
        """As `SamCache.upload_url`."""
        return await self._run(flows.upload_url(url, self.model, self._deadline()))

    async def wait(
        self, image_id: str, data: bytes | None = None, *, on_pending: Callable[[ImageInfo], None] | None = None
    ) -> ImageInfo:
        """As `SamCache.wait`."""
        return await self._run(flows.ready(image_id, data, self.model, self._deadline(), on_pending))

    async def masks(
        self,
        image_id: str,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = True,
        form: str = "rle",
        data: bytes | None = None,
        region: Part = None,
        wait: float = 0.0,
        clean: Clean | None = None,
        tolerance: float = 0.0,
    ) -> Masks:
        """As `SamCache.masks`."""
        deadline = self._deadline()
        flow = flows.masks(
            image_id,
            prompts,
            self.model,
            deadline,
            multimask=multimask,
            form=form,
            data=data,
            region=region,
            wait=wait,
            clean=clean,
            tolerance=tolerance,
        )
        return await self._run(flow)

    async def everything(
        self,
        image_id: str,
        data: bytes | None = None,
        *,
        on_progress: Callable[[Everything], None] | None = None,
        **options: Any,
    ) -> Everything:
        """As `SamCache.everything`."""
        flow = flows.everything(image_id, options, self.model, self._deadline(), data=data, on_progress=on_progress)
        return await self._run(flow)

    async def stop(self, job: Everything) -> None:
        """As `SamCache.stop`."""
        await self._run(flows.stop_everything(job.path, self._deadline()))

    async def finest_masks(
        self,
        image_id: str,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = True,
        form: str = "rle",
        data: bytes | None = None,
        region: Part = AUTO,
        clean: Clean | None = None,
        tolerance: float = 0.0,
    ) -> Masks:
        """As `SamCache.finest_masks`."""
        deadline = self._deadline()
        flow = flows.finest_masks(
            image_id,
            prompts,
            self.model,
            deadline,
            multimask=multimask,
            form=form,
            data=data,
            region=region,
            clean=clean,
            tolerance=tolerance,
        )
        return await self._run(flow)

    async def find_similar(
        self,
        image_id: str,
        examples: Sequence[Example],
        *,
        form: str = "rle",
        data: bytes | None = None,
        others: Mapping[str, bytes] | None = None,
        **options: Any,
    ) -> Similar:
        """As `SamCache.find_similar`."""
        flow = find_similar(
            image_id, examples, self.model, self._deadline(), form=form, options=options, data=data, others=others
        )
        return await self._run(flow)

    async def regions(
        self,
        image_id: str,
        corners: Sequence[Sequence[int]] | None = None,
        *,
        around: Sequence[Sequence[float]] | None = None,
        data: bytes | None = None,
    ) -> Regions:
        """As `SamCache.regions`."""
        return await self._run(
            flows.regions_ready(image_id, self.model, self._deadline(), corners=corners, around=around, data=data)
        )

    async def embedding(
        self, image_id: str, data: bytes | None = None, *, region: Corners | None = None
    ) -> NDArray[np.float32]:
        """As `SamCache.embedding`."""
        flow = flows.embedding(image_id, self.model, self._deadline(), data, region)
        return embedding_of(await self._run(flow))

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout)
