"""What every client has: a service, the connections to it, and an end. Blocking, and for asyncio."""

from __future__ import annotations

from typing import Self, TypeVar

import httpx

from prompt_api.client.transport import Service, default_async_client, default_client, run, run_async
from prompt_api.client.wire import Flow

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 120.0


class Connected:
    """A context manager over blocking connections."""

    def __init__(self, service: Service, http: httpx.Client | None) -> None:
        """Args:
        http: the caller's own client, which stays open; None: one that is closed with this.
        """
        self._service = service
        self.url = service.url
        self._own = http is None
        self._http = default_client() if http is None else http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._own:
            self._http.close()

    def _run(self, flow: Flow[T]) -> T:
        return run(self._http, self._service, flow)


class AsyncConnected:
    """`Connected` for asyncio."""

    def __init__(self, service: Service, http: httpx.AsyncClient | None) -> None:
        """Args: as `Connected`."""
        self._service = service
        self.url = service.url
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

    async def _run(self, flow: Flow[T]) -> T:
        return await run_async(self._http, self._service, flow)
