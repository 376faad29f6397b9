"""Clients send their token to the service and reveal it nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from samcache import AsyncSamCache, RemoteSamPredictor, SamCache
from samcache.errors import Unauthorized
from samcache.http.endpoint import Endpoint
from tests.support.client_material import URL, AsyncInProcess, InProcess, picture
from tests.support.world import World
from tests.unit.api.test_access import ALICE, TOKENS


@pytest.fixture
def transport(make_world: Callable[..., World]) -> InProcess:
    return InProcess(make_world(tokens=TOKENS))


def test_a_blocking_client_sends_its_token(transport: InProcess) -> None:
    with httpx.Client(transport=transport) as http:
        assert SamCache(URL, token=ALICE, http=http).models()
        with pytest.raises(Unauthorized):
            SamCache(URL, http=http).models()
        with pytest.raises(Unauthorized):
            RemoteSamPredictor(URL, http=http).set_image(picture())


@pytest.mark.parametrize("token", [ALICE, None], ids=["with", "without"])
def test_an_async_client_sends_its_token(transport: InProcess, token: str | None) -> None:
    async def ask() -> int:
        async with httpx.AsyncClient(transport=AsyncInProcess(transport)) as http:
            return len(await AsyncSamCache(URL, token=token, http=http).models())

    if token:
        assert asyncio.run(ask()) == 2
    else:
        with pytest.raises(Unauthorized):
            asyncio.run(ask())


@pytest.mark.parametrize("token", ["", " ", "two words", "line\nbreak", "tökén", "\x7f"])
def test_what_cannot_be_sent_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as refusal:
        SamCache(URL, token=token)
    assert not token.strip() or token not in str(refusal.value)


def test_a_service_does_not_show_its_token() -> None:
    assert ALICE not in repr(Endpoint(URL, ALICE))
    assert Endpoint(f"{URL}/").url == URL
