"""Runs flows over HTTP: `run` blocks, `run_async` is for asyncio. Both share the rest of the client."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

import httpx

from samcache.errors import ConnectionDropped, ServiceUnreachable, UnexpectedAnswer
from samcache.http.endpoint import Endpoint
from samcache.http.wire import Call, Flow, Reply

T = TypeVar("T")

CONNECT_SECONDS = 5.0
MAX_ANSWER = 512 * 1024 * 1024
"""Most bytes of an answer. No answer of the service comes near it. It keeps another server from filling the memory."""

MAX_CONNECTIONS = 16

_DROPPED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)


def is_address(url: str) -> bool:
    """Whether `url` is an http or https address that can be looked up."""
    try:
        parts = httpx.URL(url)
        parts.host.encode("idna")  # a look-up encodes the name too; here it fails early
    except (httpx.InvalidURL, UnicodeError):
        return False
    return parts.scheme in ("http", "https") and bool(parts.host) and parts.port != 0


def default_client() -> httpx.Client:
    """A client that keeps its connections open."""
    return httpx.Client(limits=httpx.Limits(max_connections=MAX_CONNECTIONS))


def default_async_client() -> httpx.AsyncClient:
    """A client that keeps its connections open."""
    return httpx.AsyncClient(limits=httpx.Limits(max_connections=MAX_CONNECTIONS))


def run(http: httpx.Client, endpoint: Endpoint, flow: Flow[T]) -> T:
    """Make the calls of `flow` one after the other, and return its result.

    Raises:
        SamCacheError: the error that the flow raises.
    """
    try:
        call = next(flow)
        while True:
            try:
                if call.after > 0:
                    time.sleep(call.after)
                reply = _send(http, endpoint, call)
            except ServiceUnreachable as error:
                call = flow.throw(error)
            else:
                call = flow.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(http: httpx.AsyncClient, endpoint: Endpoint, flow: Flow[T]) -> T:
    """`run` for asyncio. A task that is cancelled gives its connection back at once."""
    try:
        call = next(flow)
        while True:
            try:
                if call.after > 0:
                    await asyncio.sleep(call.after)
                reply = await _send_async(http, endpoint, call)
            except ServiceUnreachable as error:
                call = flow.throw(error)
            else:
                call = flow.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


def _send(http: httpx.Client, endpoint: Endpoint, call: Call) -> Reply:
    answer = _Answer(endpoint.url, call)
    try:
        response = http.send(_request(http, endpoint, call), stream=True)
        try:
            for chunk in response.iter_bytes():
                answer.take(chunk)
        finally:
            response.close()
        return answer.reply(response)
    except httpx.HTTPError as error:
        raise _unreachable(endpoint.url, error) from error


async def _send_async(http: httpx.AsyncClient, endpoint: Endpoint, call: Call) -> Reply:
    answer = _Answer(endpoint.url, call)
    try:
        response = await http.send(_request(http, endpoint, call), stream=True)
        try:
            async for chunk in response.aiter_bytes():
                answer.take(chunk)
        finally:
            await response.aclose()
        return answer.reply(response)
    except httpx.HTTPError as error:
        raise _unreachable(endpoint.url, error) from error


def _request(http: httpx.Client | httpx.AsyncClient, endpoint: Endpoint, call: Call) -> httpx.Request:
    return http.build_request(
        call.method,
        endpoint.url + call.path,
        params=dict(call.query),
        content=call.body,
        headers=endpoint.headers | ({} if call.content_type is None else {"Content-Type": call.content_type}),
        timeout=httpx.Timeout(call.seconds, connect=min(CONNECT_SECONDS, call.seconds)),
    )


class _Answer:
    """The body of an answer as it arrives.

    It is bounded in bytes, and in the time until its last byte. httpx bounds only the time between two bytes.
    """

    def __init__(self, url: str, call: Call) -> None:
        self._url = url
        self._body = bytearray()
        self._until = time.monotonic() + call.seconds

    def take(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > MAX_ANSWER:
            raise UnexpectedAnswer(f"the answer from {self._url} is larger than any answer of this service")
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
