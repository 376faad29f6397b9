"""The base classes of every client: a service and the connections to it. One blocks, the other is for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from samcache.http.endpoint import Endpoint
from samcache.http.wire import Flow

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 120.0


class Connected:
    """A context manager that closes its connections at the end."""

    def __init__(self, endpoint: Endpoint, http: httpx.Client | None) -> None:
        """
        Args:
            endpoint: the service.
            http: the caller's own client, which stays open. With None, this makes a client and closes it.
        """
        # Imported here, because it imports httpx. `import samcache` takes two thirds of the time without httpx.
        from samcache.http import transport  # noqa: PLC0415

        self._transport = transport
        self._endpoint = endpoint
        self.url = endpoint.url
        self._own = http is None
        self._http = transport.default_client() if http is None else http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._own:
            self._http.close()

    def _run(self, flow: Flow[T]) -> T:
        return self._transport.run(self._http, self._endpoint, flow)


class AsyncConnected:
    """`Connected` for asyncio."""

    def __init__(self, endpoint: Endpoint, http: httpx.AsyncClient | None) -> None:
        """Args: as `Connected`."""
        from samcache.http import transport  # noqa: PLC0415 - as in `Connected`

        self._transport = transport
        self._endpoint = endpoint
        self.url = endpoint.url
        self._own = http is None
        self._http = transport.default_async_client() if http is None else http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._own:
            await self._http.aclose()

    async def _run(self, flow: Flow[T]) -> T:
        return await self._transport.run_async(self._http, self._endpoint, flow)
