"""The HTTP API as Python calls: `SamCache`, and `AsyncSamCache` for asyncio."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import numpy as np
from numpy.typing import NDArray

from prompt_api.client import flows
from prompt_api.client.arrays import embedding_of
from prompt_api.client.connection import DEFAULT_TIMEOUT, DEFAULT_URL, AsyncConnected, Connected
from prompt_api.client.flows import Prompt
from prompt_api.client.resources import ImageInfo, Masks, ModelInfo, Readiness
from prompt_api.client.transport import Service
from prompt_api.client.wire import Deadline


class SamCache(Connected):
    """A client of one service. Thread-safe; a context manager that closes its connections."""

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
        super().__init__(Service(url, token), http)
        self.model = model
        self._timeout = timeout

    def readiness(self) -> Readiness:
        """What the service says of itself, ready or not."""
        return self._run(flows.readiness())

    def models(self) -> list[ModelInfo]:
        """What the service serves."""
        return self._run(flows.models(self._deadline()))

    def status(self, image_id: str) -> ImageInfo:
        """Where an image is.

        Raises:
            ImageNotFound, ImageExpired: the service does not have it (any more).
        """
        return self._run(flows.status(image_id, self.model, self._deadline()))

    def upload(self, data: bytes) -> ImageInfo:
        """Have the service know the image file `data`, which is sent only if it is new there. Does not wait.

        Raises:
            UnsupportedImage, InvalidImage, ImageTooLarge: the service does not take it.
        """
        return self._run(flows.upload(data, self.model, self._deadline()))

    def wait(self, image_id: str, data: bytes | None = None) -> ImageInfo:
        """The image once its embedding is there; uploaded from `data` where the service does not have it.

        Raises:
            EncodeFailed, EmbeddingPending: there is none, or not in time.
        """
        return self._run(flows.ready(image_id, data, self.model, self._deadline()))

    def masks(
        self,
        image_id: str,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = True,
        form: str = "rle",
        data: bytes | None = None,
    ) -> Masks:
        """Masks for 1 to 64 prompts on one image.

        Args:
            prompts: as in docs/http-api.md, in pixels of the EXIF-oriented original.
            multimask: True gives SAM's three masks for each prompt, False its single one.
            form: `rle`, `png`, `polygons` or `logits`.
            data: the file's bytes, sent again should the service have forgotten the image.

        Raises:
            InvalidPrompt: a prompt makes no sense; ImageNotFound, ImageExpired: `data` was needed.
        """
        deadline = self._deadline()
        flow = flows.masks(image_id, prompts, self.model, deadline, multimask=multimask, form=form, data=data)
        return self._run(flow)

    def embedding(self, image_id: str, data: bytes | None = None) -> NDArray[np.float32]:
        """The image embedding, (1, 256, 64, 64) float32; the service sends it as float16."""
        flow = flows.embedding(image_id, self.model, self._deadline(), data)
        return embedding_of(self._run(flow))

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout)


class AsyncSamCache(AsyncConnected):
    """`SamCache` for asyncio: the same calls, awaited; any number at once."""

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
        super().__init__(Service(url, token), http)
        self.model = model
        self._timeout = timeout

    async def readiness(self) -> Readiness:
        """As `SamCache.readiness`."""
        return await self._run(flows.readiness())

    async def models(self) -> list[ModelInfo]:
        """As `SamCache.models`."""
        return await self._run(flows.models(self._deadline()))

    async def status(self, image_id: str) -> ImageInfo:
        """As `SamCache.status`."""
        return await self._run(flows.status(image_id, self.model, self._deadline()))

    async def upload(self, data: bytes) -> ImageInfo:
        """As `SamCache.upload`."""
        return await self._run(flows.upload(data, self.model, self._deadline()))

    async def wait(self, image_id: str, data: bytes | None = None) -> ImageInfo:
        """As `SamCache.wait`."""
        return await self._run(flows.ready(image_id, data, self.model, self._deadline()))

    async def masks(
        self,
        image_id: str,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = True,
        form: str = "rle",
        data: bytes | None = None,
    ) -> Masks:
        """As `SamCache.masks`."""
        deadline = self._deadline()
        flow = flows.masks(image_id, prompts, self.model, deadline, multimask=multimask, form=form, data=data)
        return await self._run(flow)

    async def embedding(self, image_id: str, data: bytes | None = None) -> NDArray[np.float32]:
        """As `SamCache.embedding`."""
        flow = flows.embedding(image_id, self.model, self._deadline(), data)
        return embedding_of(await self._run(flow))

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout)
