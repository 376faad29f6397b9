"""Images in memory after a gap in which the API may have missed the event of their deletion."""

from __future__ import annotations

import pytest

from shared.contract.errors import StoreUnavailable
from shared.contract.keys import EmbeddingKey, record_key
from shared.contract.models import FAKE
from tests.support.world import World, png

PROMPT = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}


@pytest.fixture
def image_id(world: World) -> str:
    image_id = world.ready_image(png())
    assert prompted(world, image_id) == 200
    return image_id


def prompted(world: World, image_id: str) -> int:
    return world.client.post(f"/v1/images/{image_id}/masks", json=PROMPT).status_code


def test_an_image_that_is_still_known_is_answered_from_memory(world: World, image_id: str) -> None:
    world.store.delete(EmbeddingKey.of(image_id, FAKE).redis_key)
    world.services.masks.doubt()
    assert prompted(world, image_id) == 200


def test_a_deleted_image_is_no_longer_answered(world: World, image_id: str) -> None:
    world.store.delete(EmbeddingKey.of(image_id, FAKE).redis_key)
    world.store.delete(record_key(image_id))
    assert prompted(world, image_id) == 200
    world.services.masks.doubt()
    assert prompted(world, image_id) == 404


def test_in_an_outage_the_image_is_answered_and_stays_in_doubt(
    world: World, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> bool:
        raise StoreUnavailable("Redis is away")

    world.services.masks.doubt()
    with monkeypatch.context() as outage:
        outage.setattr(world.store, "exists", down)
        assert prompted(world, image_id) == 200
    world.store.delete(EmbeddingKey.of(image_id, FAKE).redis_key)
    world.store.delete(record_key(image_id))
    assert prompted(world, image_id) == 404


def test_an_image_in_doubt_is_looked_up_once(world: World, image_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world.services.masks.doubt()
    assert prompted(world, image_id) == 200

    def never(*_: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(world.store, "exists", never)
    assert prompted(world, image_id) == 200
