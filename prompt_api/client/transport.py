"""Runs flows over HTTP: one blocking runner, one for asyncio. Everything else of the client is shared by both."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from prompt_api.client.errors import ConnectionDropped, ServiceUnreachable, UnexpectedAnswer
from prompt_api.client.wire import Call, Flow, Reply

T = TypeVar("T")

CONNECT_SECONDS = 5.0
MAX_ANSWER = 512 * 1024 * 1024
"""Bytes of an answer that are held in memory: far above any, so that a stranger under the URL cannot fill it."""

MAX_CONNECTIONS = 16

_DROPPED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)


_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service answers, and what it knows this client by.

    Attributes:
        url: without a slash at its end.
        token: sent with each request, shown nowhere; None: there is none.
    """

    url: str
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: what cannot be sent is no token.
        """
        object.__setattr__(self, "url", self.url.rstrip("/"))
        # httpx would refuse it too, and repeat it in its message.
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ValueError("a token is printable ASCII without spaces, and not empty")

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def is_address(url: str) -> bool:
    """Whether there can be a service at `url`."""
    try:
        parts = httpx.URL(url)
        parts.host.encode("idna")  # as whoever looks it up does
    except (httpx.InvalidURL, UnicodeError):
        return False
    return parts.scheme in ("http", "https") and bool(parts.host) and parts.port != 0


def default_client() -> httpx.Client:
    """A pool of kept connections."""
    return httpx.Client(limits=httpx.Limits(max_connections=MAX_CONNECTIONS))


def default_async_client() -> httpx.AsyncClient:
    """A pool of kept connections."""
    return httpx.AsyncClient(limits=httpx.Limits(max_connections=MAX_CONNECTIONS))


def run(http: httpx.Client, service: Service, flow: Flow[T]) -> T:
    """The result of `flow`, its calls made one after the other.

    Raises:
        SamCacheError: whatever the flow raises.
    """
    try:
        call = next(flow)
        while True:
            try:
                if call.after > 0:
                    time.sleep(call.after)
                reply = _send(http, service, call)
            except ServiceUnreachable as error:
                call = flow.throw(error)
            else:
                call = flow.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(http: httpx.AsyncClient, service: Service, flow: Flow[T]) -> T:
    """`run`, for asyncio: a cancelled task gives its connection back at once."""
    try:
        call = next(flow)
        while True:
            try:
                if call.after > 0:
                    await asyncio.sleep(call.after)
                reply = await _send_async(http, service, call)
            except ServiceUnreachable as error:
                call = flow.throw(error)
            else:
                call = flow.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


def _send(http: httpx.Client, service: Service, call: Call) -> Reply:
    answer = _Answer(service.url, call)
    try:
        response = http.send(_request(http, service, call), stream=True)
        try:
            for chunk in response.iter_bytes():
                answer.take(chunk)
        finally:
            response.close()
        return answer.reply(response)
    except httpx.HTTPError as error:
        raise _unreachable(service.url, error) from error


async def _send_async(http: httpx.AsyncClient, service: Service, call: Call) -> Reply:
    answer = _Answer(service.url, call)
    try:
        response = await http.send(_request(http, service, call), stream=True)
        try:
            async for chunk in response.aiter_bytes():
                answer.take(chunk)
        finally:
            await response.aclose()
        return answer.reply(response)
    except httpx.HTTPError as error:
        raise _unreachable(service.url, error) from error


def _request(http: httpx.Client | httpx.AsyncClient, service: Service, call: Call) -> httpx.Request:
    return http.build_request(
        call.method,
        service.url + call.path,
        params=dict(call.query),
        content=call.body,
        headers=service.headers | ({} if call.content_type is None else {"Content-Type": call.content_type}),
        timeout=httpx.Timeout(call.seconds, connect=min(CONNECT_SECONDS, call.seconds)),
    )


class _Answer:
    """A body as it arrives, bounded in bytes and, unlike a socket's time-out, in time as a whole."""

    def __init__(self, url: str, call: Call) -> None:
        self._url = url
        self._body = bytearray()
        self._until = time.monotonic() + call.seconds

    def take(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > MAX_ANSWER:
            raise UnexpectedAnswer(f"the answer from {self._url} is larger than any of this service")
        if time.monotonic() > self._until:
            raise ServiceUnreachable(f"{self._url} does not finish its answer in time")

    def reply(self, response: httpx.Response) -> Reply:
        return Reply(response.status_code, dict(response.headers), bytes(self._body))


def _unreachable(url: str, error: httpx.HTTPError) -> ServiceUnreachable:
    if isinstance(error, httpx.TimeoutException):
        return ServiceUnreachable(f"{url} does not answer in time")
    if isinstance(error, _DROPPED):
        return ConnectionDropped(f"{url} closed the connection before it answered")
    return ServiceUnreachable(f"{url} cannot be reached: {error}")
