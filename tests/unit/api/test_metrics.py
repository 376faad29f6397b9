"""The metrics of the API, and who may read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.scopes import Scope
from prompt_api.http.measured import ARRIVAL
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.queue_load import QueueLoad
from prompt_api.metrics.scrape import Scrape
from shared.contract.errors import StoreUnavailable
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE, Model
from tests.support.world import World, png

CLICK = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}
MASKS = "/v1/images/{image_id}/masks"


def counted(world: World, name: str, **labels: str) -> float:
    """Scrape and return the sum over all series with those labels."""
    return in_text(world.client.get("/metrics").text, name, **labels)


def in_text(text: str, name: str, **labels: str) -> float:
    wanted = labels.items()
    samples = [sample for family in plain(text) for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if wanted <= sample.labels.items())


def test_requests_are_counted_by_route_status_and_code(world: World) -> None:
    image_id = world.ready_image(png())
    for _ in range(3):
        world.client.post(f"/v1/images/{image_id}/masks", json=CLICK)
    world.client.post(f"/v1/images/{image_id}/masks", json={"prompts": []})
    ok = {"route": MASKS, "method": "POST", "status": "200", "code": ""}
    assert counted(world, "sam_api_requests_total", **ok) == 3
    assert counted(world, "sam_api_requests_total", route=MASKS, status="422", code="invalid-prompt") == 1
    assert counted(world, "sam_api_request_duration_seconds_count", route=MASKS) == 4
    assert image_id not in world.client.get("/metrics").text


def test_nobody_can_invent_labels(world: World) -> None:
    world.client.get("/secret/path")
    world.client.open("/healthz", method="BREW")
    text = world.client.get("/metrics").text
    assert "secret" not in text
    assert "BREW" not in text
    assert in_text(text, "sam_api_requests_total", route="other", status="404", code="not-found") == 1
    assert in_text(text, "sam_api_requests_total", method="other", status="405") == 1


def test_a_crash_is_counted_as_the_500_it_is_answered_with(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(world.store, "get", lambda _key: 1 / 0)
    assert world.client.get(f"/v1/images/{'0' * 64}").status_code == 500
    assert counted(world, "sam_api_requests_total", status="500", code="internal-error") == 1
    assert counted(world, "sam_api_requests_in_flight") == 1  # the scrape itself


def test_the_stages_of_a_prompt_add_up_to_its_duration(world: World) -> None:
    image_id = world.ready_image(png())
    arrival = {ARRIVAL: (-2.0, -1.0)}  # long before now, so the request seems to have waited for a thread
    world.client.post(f"/v1/images/{image_id}/masks", json=CLICK, environ_overrides=arrival)
    stages = counted(world, "sam_api_stage_seconds_sum", route=MASKS)
    receive = counted(world, "sam_api_stage_seconds_sum", route=MASKS, stage="receive")
    duration = counted(world, "sam_api_request_duration_seconds_sum", route=MASKS)
    assert receive == 1
    assert stages - receive == pytest.approx(duration)
    for stage in ("thread", "admit", "parse", "fetch", "prepare", "turn", "decode", "encode", "serialise", "other"):
        assert counted(world, "sam_api_stage_seconds_count", route=MASKS, stage=stage) == 1
    assert counted(world, "sam_api_stage_seconds_count", route=MASKS, stage="wait") == 0


def test_lookups_are_counted_by_where_the_embedding_was(world: World) -> None:
    data = png()
    image_id = world.client.post("/v1/images", data=data).json["image_id"]
    url = f"/v1/images/{image_id}/masks"
    assert world.client.post(url, json=CLICK).status_code == 409
    world.encode_next()
    for _ in range(3):
        assert world.client.post(url, json=CLICK).status_code == 200
    tiers = {
        tier: counted(world, "sam_api_embedding_lookups_total", tier=tier) for tier in ("absent", "redis", "memory")
    }
    assert tiers == {"absent": 1, "redis": 1, "memory": 2}
    assert counted(world, "sam_api_prompts_total") == 3
    assert counted(world, "sam_api_lru_entries", cache="embeddings") == 1
    assert counted(world, "sam_api_lru_bytes", cache="embeddings") > 0


def test_an_embedding_that_vanished_is_counted_as_lost(world: World) -> None:
    image_id = world.ready_image(png())
    key = EmbeddingKey.of(image_id, FAKE)
    world.queue.forget(key)
    world.store.delete(key.redis_key)
    assert world.client.post(f"/v1/images/{image_id}/masks", json=CLICK).status_code == 409
    assert counted(world, "sam_api_embeddings_lost_total") == 1


def test_a_damaged_embedding_is_counted(world: World) -> None:
    image_id = world.ready_image(png())
    key = EmbeddingKey.of(image_id, FAKE)
    value = world.store.get(key.redis_key)
    assert value is not None
    world.store.put(key.redis_key, value[:-1] + bytes([value[-1] ^ 1]), 60)
    world.client.post(f"/v1/images/{image_id}/masks", json=CLICK)
    assert counted(world, "sam_api_embeddings_damaged_total") == 1


def test_uploads_are_counted_by_what_they_led_to(world: World) -> None:
    data = png()
    for _ in range(3):
        world.client.post("/v1/images", data=data)
    world.encode_next()
    world.client.post("/v1/images", data=data)
    world.client.post("/v1/images", data=b"no image")
    found = {name: counted(world, "sam_api_uploads_total", outcome=name) for name in ("queued", "joined", "ready")}
    assert found == {"queued": 1, "joined": 2, "ready": 1}
    assert counted(world, "sam_api_upload_bytes_total") == 4 * len(data)


def test_what_makes_room_in_memory_is_counted(make_world: Callable[..., World]) -> None:
    measured = make_world()
    measured.client.post(f"/v1/images/{measured.ready_image(png())}/masks", json=CLICK)
    one = int(counted(measured, "sam_api_lru_bytes", cache="embeddings"))
    world = make_world(embedding_lru_bytes=one)
    for width in (100, 110, 120):
        world.client.post(f"/v1/images/{world.ready_image(png(width))}/masks", json=CLICK)
    assert counted(world, "sam_api_lru_evictions_total", cache="embeddings") == 2
    assert counted(world, "sam_api_lru_bytes", cache="embeddings") == one


def test_refusals_are_counted_by_their_code(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_uploads="1/minute")
    statuses = [world.client.post("/v1/images", data=png()).status_code for _ in range(3)]
    assert statuses == [202, 429, 429]
    assert counted(world, "sam_api_requests_total", route="/v1/images", code="rate-limited") == 2


def test_open_breakers_are_counted_by_client() -> None:
    metrics = ApiMetrics()
    cache = metrics.breaker("cache")
    cache(True)
    body, _ = Scrape(metrics, (FAKE,), {}, None).answer("")
    assert in_text(body.decode(), "sam_api_redis_breakers_open", client="cache") == 1
    cache(False)
    body, _ = Scrape(metrics, (FAKE,), {}, None).answer("")
    assert in_text(body.decode(), "sam_api_redis_breakers_open", client="cache") == 0


def scraped(queue_load: Callable[[Model], QueueLoad], check: Callable[[], None] = lambda: None) -> str:
    body, _ = Scrape(ApiMetrics(), (FAKE,), {"queue": check}, queue_load).answer("")
    return body.decode()


def test_the_queue_is_shown_by_model() -> None:
    text = scraped(lambda model: QueueLoad(waiting=3, running=1, workers=2, oldest=7.5))
    assert in_text(text, "sam_queue_waiting_jobs", model="fake") == 3
    assert in_text(text, "sam_queue_oldest_seconds", model="fake") == 7.5
    assert in_text(text, "sam_queue_running_jobs", model="fake") == 1
    assert in_text(text, "sam_queue_workers", model="fake") == 2
    assert in_text(text, "sam_api_dependency_up", dependency="queue") == 1
    assert in_text(text, "sam_api_processes") == 1
    assert in_text(text, "sam_api_build_info", model="fake") == 1


def test_without_redis_a_scrape_leaves_out_what_it_cannot_tell() -> None:
    def away(*_: Model) -> QueueLoad:
        raise StoreUnavailable("Redis is away")

    def down() -> None:
        away()

    text = scraped(away, down)
    assert "\nsam_queue_" not in text
    assert in_text(text, "sam_api_dependency_up", dependency="queue") == 0
    assert "sam_api_dependency_up{" in text


def test_a_scraper_gets_the_format_it_asks_for(world: World) -> None:
    answer = world.client.get("/metrics")
    assert answer.mimetype == "text/plain"
    assert list(plain(answer.text))
    answer = world.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.mimetype == "application/openmetrics-text"
    assert any(family.name == "sam_api_requests" for family in openmetrics(answer.text))


@pytest.mark.parametrize(
    ("scopes", "status"), [({Scope.READ}, 200), ({Scope.READ, Scope.WRITE}, 200), ({Scope.WRITE}, 403), (None, 401)]
)
def test_with_tokens_only_readers_may_scrape(
    make_world: Callable[..., World], scopes: set[Scope] | None, status: int
) -> None:
    token = new_token()
    world = make_world(tokens=Grant("scraper", frozenset(scopes or {Scope.READ}), digest_of(token)).entry)
    headers = {"Authorization": f"Bearer {token}"} if scopes else {}
    assert world.client.get("/metrics", headers=headers).status_code == status
