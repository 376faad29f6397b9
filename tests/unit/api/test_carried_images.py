"""What a request that carries its image holds while it waits."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from prompt_api.integrations.samapi import server as samapi
from prompt_api.integrations.x_anylabeling import server as x_anylabeling
from prompt_api.service.images import ImageService
from prompt_api.service.masks import MaskService
from shared.contract.errors import EmbeddingPending
from tests.support.world import World, png
from tests.unit.api.test_problems import assert_problem

ENCODED = base64.b64encode(png()).decode()
POINT = {"type": "point", "data": [48, 30], "label": 1}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/x-anylabeling/v1/predict", {"model": "fake", "image": ENCODED, "params": {"marks": [POINT]}}),
        ("/samapi/sam/", {"b64img": ENCODED, "bbox": [24, 16, 72, 48]}),
    ],
)
def test_a_request_that_waits_for_the_encoding_holds_no_image(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    gone: list[bool] = []
    gone_by_then: list[int] = []

    class Noted(bytes):
        def __del__(self) -> None:
            gone.append(True)

    def wait(*_: object, **__: object) -> None:
        gone_by_then.append(len(gone))
        assert world.services.uploads.acquire(blocking=False)  # nor does it hold a slot
        world.services.uploads.release()
        raise EmbeddingPending("later")

    for module in (samapi, x_anylabeling):
        monkeypatch.setattr(module, "unpacked", lambda _: Noted(png()))
    monkeypatch.setattr(ImageService, "upload", lambda *_, **__: None)  # the store in memory would hold it
    monkeypatch.setattr(MaskService, "answer", wait)
    assert_problem(world.client.post(path, json=body), 503, "overloaded")
    assert gone_by_then == [1]
