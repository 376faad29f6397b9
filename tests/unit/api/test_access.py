"""Tokens, scopes, namespaces, rate limits, CORS and headers on every route."""

from __future__ import annotations

import base64
import hashlib
import re
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.test import TestResponse

from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.owners import RECHECK
from prompt_api.access.scopes import PUBLIC, Scope, needed_scope
from shared.contract.errors import StoreUnavailable
from shared.contract.keys import EmbeddingKey, image_key, owners_key, record_key
from shared.contract.models import FAKE
from tests.support import label_studio
from tests.support.label_studio import Background, studio
from tests.support.world import World, png
from tests.unit.api.test_problems import assert_problem

BOTH = frozenset(Scope)
ALICE, ALICE_READS, ALICE_WRITES, BOB = (new_token() for _ in range(4))
GRANTS = (
    Grant("alice", BOTH, digest_of(ALICE)),
    Grant("alice", frozenset({Scope.READ}), digest_of(ALICE_READS)),
    Grant("alice", frozenset({Scope.WRITE}), digest_of(ALICE_WRITES)),
    Grant("bob", BOTH, digest_of(BOB)),
)
TOKENS = ",".join(grant.entry for grant in GRANTS)
CLICK = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}
UNKNOWN = "0" * 64


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Tenant:
    """Requests with one token."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self._headers = bearer(token)

    def __call__(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {**self._headers, **options.pop("headers", {})}
        return self._world.client.open(path, method=method, headers=headers, buffered=True, **options)

    def upload(self, data: bytes) -> TestResponse:
        return self("POST", "/v1/images", data=data)

    def prompt(self, image_id: str, body: dict[str, Any] = CLICK) -> TestResponse:
        return self("POST", f"/v1/images/{image_id}/masks", json=body)

    def ready(self, data: bytes) -> str:
        answer = self.upload(data)
        if answer.status_code == 202:
            self._world.encode_next()
        return str(answer.json["image_id"])


@pytest.fixture
def guarded(make_world: Callable[..., World]) -> World:
    return make_world(tokens=TOKENS)


@pytest.fixture
def alice(guarded: World) -> Tenant:
    return Tenant(guarded, ALICE)


@pytest.fixture
def bob(guarded: World) -> Tenant:
    return Tenant(guarded, BOB)


def requests_of(world: World, image_id: str = UNKNOWN) -> Iterator[tuple[str, str, str]]:
    """Yield (method, rule, path) for every route of the application."""
    values = {"image_id": image_id, "name": "fake"}
    for rule in world.client.application.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: values.get(found[1], "x"), rule.rule)
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield method, rule.rule, path


def test_every_route_with_anybodys_data_wants_a_token(guarded: World) -> None:
    closed = 0
    for method, rule, path in requests_of(guarded):
        for headers in ({}, bearer("wrong"), bearer(ALICE[:-1]), {"Authorization": "Basic eA=="}):
            answer = guarded.client.open(path, method=method, headers=headers, data=png(), buffered=True)
            if needed_scope(method, rule) is None:
                assert answer.status_code not in (401, 403), (method, path)
                continue
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            if method != "HEAD":
                assert_problem(answer, 401, "unauthorized")
            closed += 1
    assert closed > 40


def test_only_pages_and_health_are_open(guarded: World) -> None:
    open_rules = {rule for method, rule, _ in requests_of(guarded) if needed_scope(method, rule) is None}
    static = {rule for rule in open_rules if "static" in rule.split("/")}
    assert open_rules - static == PUBLIC
    assert {path for path in PUBLIC if guarded.client.get(path, buffered=True).status_code != 200} == set()


@pytest.mark.parametrize(
    ("token", "missing"), [(ALICE_READS, Scope.WRITE), (ALICE_WRITES, Scope.READ)], ids=["reads", "writes"]
)
def test_a_token_is_good_for_its_scopes_alone(guarded: World, alice: Tenant, token: str, missing: Scope) -> None:
    image_id = alice.ready(png())
    tenant = Tenant(guarded, token)
    forbidden = 0
    for method, rule, path in requests_of(guarded, image_id):
        answer = tenant(method, path, data=b"")
        if needed_scope(method, rule) is missing:
            assert answer.status_code == 403, (method, path)
            assert "insufficient_scope" in answer.headers["WWW-Authenticate"]
            if method != "HEAD":
                assert_problem(answer, 403, "forbidden")
                assert answer.json["scope"] == missing
            forbidden += 1
        else:
            assert answer.status_code not in (401, 403), (method, path)
    assert forbidden


def test_a_token_is_taken_as_the_password_of_basic_authentication(guarded: World) -> None:
    password = base64.b64encode(f"label-studio:{ALICE}".encode()).decode()
    answer = guarded.client.get("/v1/models", headers={"Authorization": f"Basic {password}"})
    assert answer.status_code == 200


def test_a_route_that_does_not_exist_is_not_found_with_and_without_a_token(guarded: World, alice: Tenant) -> None:
    assert_problem(guarded.client.get("/v1/nothing"), 404, "not-found")
    assert_problem(alice("GET", "/v1/nothing"), 404, "not-found")


def test_all_tokens_of_a_namespace_see_its_images(guarded: World, alice: Tenant) -> None:
    image_id = alice.ready(png())
    assert Tenant(guarded, ALICE_READS).prompt(image_id).status_code == 200


def asked_about(tenant: Tenant, image_id: str) -> list[tuple[str, int, Any, bytes]]:
    """Return everything a tenant can learn about an image without its bytes, with the image's id blanked out."""
    path = f"/v1/images/{image_id}"
    found = []
    for method, rest in (
        ("GET", ""),
        ("HEAD", ""),
        ("GET", "?wait=0.1"),
        ("GET", "?model=nope"),
        ("GET", "?wait=nonsense"),
        ("GET", "/events"),
        ("GET", "/embedding"),
        ("GET", "/preview"),
        ("GET", "/embedding?model=other"),
        ("POST", "/masks"),
        ("POST", "/masks?wait=0.1"),
        ("POST", "/similar"),
        ("POST", "/similar?wait=0.1"),
        ("GET", "?region=0,0,60,60"),
        ("GET", "/embedding?region=0,0,60,60"),
        ("POST", "/regions"),
        ("DELETE", ""),
    ):
        for headers in ({}, {"If-None-Match": "*"}):
            answer = tenant(method, path + rest, json=CLICK, headers={"X-Request-ID": "-", **headers})
            shown = sorted((name, value.replace(image_id, "-")) for name, value in answer.headers.items())
            found.append((f"{method} {rest}", answer.status_code, shown, answer.data.replace(image_id.encode(), b"-")))
    return found


@pytest.mark.parametrize("encoded", [False, True])
def test_the_image_of_another_tenant_is_answered_like_an_unknown_one(
    guarded: World, alice: Tenant, bob: Tenant, encoded: bool
) -> None:
    image_id = str(alice.upload(png()).json["image_id"])
    if encoded:
        guarded.encode_next()
    anothers, nobodys = asked_about(bob, image_id), asked_about(bob, UNKNOWN)
    assert anothers == nobodys
    assert {status for _, status, _, _ in anothers} == {404}
    assert alice("GET", f"/v1/images/{image_id}").status_code == 200  # bob's DELETE had no effect


def test_two_tenants_with_the_same_bytes_share_one_encoding(guarded: World, alice: Tenant, bob: Tenant) -> None:
    first, second = alice.upload(png()), bob.upload(png())
    assert first.json == second.json
    guarded.encode_next()
    with pytest.raises(IndexError):
        guarded.encode_next()
    assert len(guarded.encodes) == 1
    image_id = first.json["image_id"]
    hers, his = (tenant.prompt(image_id).json["results"][0]["masks"] for tenant in (alice, bob))
    assert [(mask["score"], mask["rle"]) for mask in hers] == [(mask["score"], mask["rle"]) for mask in his]
    assert bob.upload(png()).status_code == 200


def test_a_deletion_by_one_owner_leaves_the_others_image_working(guarded: World, alice: Tenant, bob: Tenant) -> None:
    image_id = alice.ready(png())
    bob.upload(png())
    assert alice("DELETE", f"/v1/images/{image_id}").status_code == 204
    assert asked_about(alice, image_id) == asked_about(alice, UNKNOWN)
    assert bob.prompt(image_id).status_code == 200
    assert bob("GET", f"/v1/images/{image_id}/embedding").status_code == 200
    assert guarded.store.exists(image_key(image_id))
    assert ((image_id, "fake", ""), "released") in guarded.events.published
    assert ((image_id, "fake", ""), "deleted") not in guarded.events.published


def test_a_deletion_by_the_last_owner_removes_everything(guarded: World, alice: Tenant, bob: Tenant) -> None:
    image_id = alice.ready(png())
    bob.upload(png())
    for tenant in (alice, bob):
        assert tenant("DELETE", f"/v1/images/{image_id}").status_code == 204
    for key in (image_key(image_id), record_key(image_id), EmbeddingKey.of(image_id, FAKE).redis_key):
        assert not guarded.store.exists(key)
    assert guarded.store.members(owners_key(image_id)) == frozenset()
    for tenant in (alice, bob):
        assert {status for _, status, _, _ in asked_about(tenant, image_id)} == {404}


def test_a_deletion_that_failed_on_its_way_can_be_tried_again(
    guarded: World, alice: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = alice.ready(png())

    def away(_key: str) -> bool:
        raise StoreUnavailable("gone fishing", retry_after=1)

    with monkeypatch.context() as outage:
        outage.setattr(guarded.store, "delete", away)
        assert_problem(alice("DELETE", f"/v1/images/{image_id}"), 503, "store-unavailable")
    assert alice("DELETE", f"/v1/images/{image_id}").status_code == 204
    assert not guarded.store.exists(image_key(image_id))


def test_an_upload_after_a_deletion_is_a_new_image(guarded: World, alice: Tenant, bob: Tenant) -> None:
    image_id = alice.ready(png())
    alice("DELETE", f"/v1/images/{image_id}")
    assert bob.upload(png()).status_code == 202
    guarded.encode_next()
    assert bob.prompt(image_id).status_code == 200
    assert_problem(alice.prompt(image_id), 404, "image-not-found")


def test_a_task_whose_image_its_owner_deleted_makes_it_his_again(guarded: World, alice: Tenant, bob: Tenant) -> None:
    image_id = alice.ready(png())
    bob.ready(png())
    task = label_studio.request(label_studio.POINT)
    assert alice("POST", "/label-studio/predict", json=task).json["results"][0]["result"]
    assert alice("DELETE", f"/v1/images/{image_id}").status_code == 204
    assert alice("GET", f"/v1/images/{image_id}").status_code == 404
    assert alice("POST", "/label-studio/predict", json=task).json["results"][0]["result"]
    assert alice("GET", f"/v1/images/{image_id}").status_code == 200


def test_images_on_label_studio_are_for_one_namespace(make_world: Callable[..., World], background: Background) -> None:
    with studio(lambda *_: (200, {}, png())) as (address, asked):
        world = make_world(
            tokens=TOKENS, label_studio_url=address, label_studio_namespace="alice", background=background
        )
        alice, bob = Tenant(world, ALICE), Tenant(world, BOB)
        image_id = alice.ready(png())
        stored = label_studio.request(label_studio.POINT, task=label_studio.STORED)
        assert alice("POST", "/label-studio/predict", json=stored).json["results"][0]["result"]
        assert_problem(bob("POST", "/label-studio/predict", json=stored), 422, "image-unreachable")
        opened = label_studio.request(task=label_studio.STORED, context=False)
        assert bob("POST", "/label-studio/predict", json=opened).json == {"results": [[]]}
        background.finish()
        assert len(asked) == 1
        assert_problem(bob("GET", f"/v1/images/{image_id}"), 404, "image-not-found")
        carried = label_studio.request(label_studio.POINT, task=label_studio.task_of(png()))
        assert bob("POST", "/label-studio/predict", json=carried).json["results"][0]["result"]


def test_a_refused_upload_makes_nobody_an_owner(guarded: World, alice: Tenant, bob: Tenant) -> None:
    image_id = alice.ready(png())
    assert bob.upload(png()[:-20]).status_code == 422
    assert_problem(bob.prompt(image_id), 404, "image-not-found")


def chain(tenant: Tenant, image_id: str, prompt: dict[str, Any]) -> str:
    answer = tenant.prompt(image_id, {"prompts": [prompt], "multimask": False})
    assert answer.status_code == 200, answer.text
    return str(answer.json["results"][0]["masks"][0]["mask_token"])


@pytest.mark.parametrize("stored", [False, True])
def test_the_mask_token_of_another_namespace_is_useless(
    guarded: World, alice: Tenant, bob: Tenant, stored: bool
) -> None:
    image_id = alice.ready(png())
    bob.upload(png())
    prompt: dict[str, Any] = {"points": [[40, 30]], "labels": [1]}
    if stored:
        logits = base64.b64encode(bytes(2 * 256 * 256)).decode()
        prompt["mask_logits"] = logits
    token = chain(alice, image_id, prompt)
    refine = {"points": [[50, 35]], "labels": [1], "mask_token": token}
    chain(Tenant(guarded, ALICE_READS), image_id, refine)
    assert_problem(bob.prompt(image_id, {"prompts": [refine]}), 422, "invalid-prompt")
    # Tokens are not signed, so a tenant can write a token in their own namespace that names another tenant's logits.
    forged = forge(token, "alice", "bob")
    answer = bob.prompt(image_id, {"prompts": [refine | {"mask_token": forged}], "multimask": False})
    if stored:
        assert_problem(answer, 422, "invalid-prompt")
    else:  # a recipe only contains a prompt, and bob may send prompts
        assert answer.status_code == 200


def forge(token: str, mine: str, yours: str) -> str:
    packed = base64.urlsafe_b64decode(token[1:] + "=" * (-len(token[1:]) % 4))
    plain = zlib.decompress(packed, wbits=-15).replace(mine.encode(), yours.encode())
    return token[0] + base64.urlsafe_b64encode(zlib.compress(plain, 6, wbits=-15)).rstrip(b"=").decode()


def test_prompts_on_an_image_in_memory_ask_the_store_nothing_and_outlast_it(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    guarded = make_world(tokens=TOKENS, clock=lambda: now[0])
    alice, bob = Tenant(guarded, ALICE), Tenant(guarded, BOB)
    image_id = alice.ready(png())
    assert alice.prompt(image_id).status_code == 200

    def away(*_: object, **__: object) -> Any:
        raise StoreUnavailable("gone fishing", retry_after=1)

    for name in ("get", "put", "exists", "delete", "members", "add_member", "remove_member"):
        monkeypatch.setattr(guarded.store, name, away)
    assert alice.prompt(image_id).status_code == 200
    now[0] += RECHECK
    assert alice.prompt(image_id).status_code == 200
    assert_problem(bob.prompt(image_id), 503, "store-unavailable")


def test_without_tokens_nothing_is_recorded_of_who_has_what(world: World) -> None:
    image_id = world.ready_image(png())
    assert world.store.members(owners_key(image_id)) == frozenset()
    assert world.client.get("/v1/models", headers=bearer("whatever")).status_code == 200
    assert "Authorization" not in world.client.get("/v1/models").headers.get("Vary", "")


def test_what_is_kept_for_one_token_is_not_for_another(guarded: World, alice: Tenant) -> None:
    image_id = alice.ready(png())
    assert "Authorization" in alice("GET", f"/v1/images/{image_id}/embedding").headers["Vary"]


# Rate limits


def test_uploads_and_prompts_are_limited_per_token(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS, rate_limit_uploads="2/hour", rate_limit_prompts="3/hour")
    alice, reads, bob = Tenant(world, ALICE), Tenant(world, ALICE_READS), Tenant(world, BOB)
    image_id = alice.ready(png())
    bob.ready(png())
    alice.upload(png())
    refused = alice.upload(png())
    assert_problem(refused, 429, "rate-limited")
    assert refused.json["limit"] == "2/hour"
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    for tenant in (alice, reads, bob):
        for _ in range(3):
            assert tenant.prompt(image_id).status_code == 200
        assert_problem(tenant.prompt(image_id), 429, "rate-limited")
    assert alice("GET", f"/v1/images/{image_id}").status_code == 200


def test_a_batch_counts_as_its_prompts(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_prompts="5/hour")
    image_id = world.ready_image(png())
    url, batch = f"/v1/images/{image_id}/masks", {"prompts": CLICK["prompts"] * 4}
    assert world.client.post(url, json=batch).status_code == 200
    assert_problem(world.client.post(url, json=batch), 429, "rate-limited")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The current time for the rate limits; a test may change it."""
    found = [1_000_007.0]
    monkeypatch.setattr(time, "time", lambda: found[0])
    return found


@pytest.mark.parametrize("size", [6, 10, 11, 64])
def test_a_batch_gets_through_after_the_time_it_was_told_whatever_its_size(
    make_world: Callable[..., World], now: list[float], size: int
) -> None:
    world = make_world(rate_limit_prompts="10/minute")
    image_id = world.ready_image(png())
    url, batch = f"/v1/images/{image_id}/masks", {"prompts": CLICK["prompts"] * size, "multimask": False}
    for _ in range(5):
        assert world.client.post(url, json=CLICK).status_code == 200
    refused = world.client.post(url, json=batch)
    assert_problem(refused, 429, "rate-limited")
    now[0] += int(refused.headers["Retry-After"])
    assert world.client.post(url, json=batch).status_code == 200
    if size >= 10:
        assert world.client.post(url, json=CLICK).status_code == 429  # the batch used the whole share


def test_a_refused_batch_costs_nothing(make_world: Callable[..., World], now: list[float]) -> None:
    world = make_world(rate_limit_prompts="10/minute")
    image_id = world.ready_image(png())
    url = f"/v1/images/{image_id}/masks"
    assert world.client.post(url, json=CLICK).status_code == 200
    for _ in range(5):
        assert world.client.post(url, json={"prompts": CLICK["prompts"] * 10}).status_code == 429
    assert world.client.post(url, json={"prompts": CLICK["prompts"] * 9}).status_code == 200


def test_a_malformed_body_counts_as_one_prompt(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_prompts="2/hour")
    url = f"/v1/images/{world.ready_image(png())}/masks"
    assert [world.client.post(url, data=b"{").status_code for _ in range(3)] == [422, 422, 429]


def test_images_in_the_tasks_of_label_studio_count_as_uploads(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_uploads="3/hour")
    pictures = [png(colour=(number, 9, 9)) for number in range(5)]
    tasks = [label_studio.task_of(one) for one in pictures]
    url, opened = "/label-studio/predict", label_studio.request(context=False) | {"tasks": tasks[:2]}
    assert world.client.post(url, json=opened).status_code == 200
    assert world.client.post(url, json=opened).status_code == 200  # the service already has the images
    assert label_studio.taken_in(world, pictures) == 2
    assert world.client.post(url, json=opened | {"tasks": tasks}).json == {"results": [[]] * 5}
    assert label_studio.taken_in(world, pictures) == 3
    assert_problem(world.client.post("/v1/images", data=png()), 429, "rate-limited")
    clicked = label_studio.request(label_studio.POINT, task=tasks[4])
    assert_problem(world.client.post(url, json=clicked), 429, "rate-limited")


def test_images_that_are_fetched_for_label_studio_count_as_uploads(
    make_world: Callable[..., World], background: Background
) -> None:
    with studio(lambda *_: (200, {}, png())) as (address, asked):
        world = make_world(rate_limit_uploads="2/hour", label_studio_url=address, background=background)
        paths = [f"/data/upload/1/{number}.png" for number in range(4)]
        tasks = [label_studio.TASK | {"data": {"image": path}} for path in paths]
        opened = label_studio.request(context=False) | {"tasks": tasks}
        assert world.client.post("/label-studio/predict", json=opened).status_code == 200
        background.finish()
        assert sorted(path for _, path, _ in asked) == paths[:2]
        world.encode_next()  # both are the same image
        for task, status in ((tasks[1], 200), (tasks[2], 429)):
            clicked = label_studio.request(label_studio.POINT, task=task)
            assert world.client.post("/label-studio/predict", json=clicked).status_code == status


@pytest.mark.parametrize("limit", ["5/hour", "3/hour"], ids=["fewer than the limit", "more than the limit"])
def test_the_rectangles_of_label_studio_count_as_prompts(make_world: Callable[..., World], limit: str) -> None:
    world = make_world(rate_limit_prompts=limit)
    world.ready_image(label_studio.PICTURE)
    url, drawn = "/label-studio/predict", label_studio.request(*[label_studio.RECTANGLE] * 4)
    assert world.client.post(url, json=drawn).status_code == 200
    assert_problem(world.client.post(url, json=drawn), 429, "rate-limited")


def test_what_label_studio_never_sends_counts_as_one(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_prompts="2/hour")
    statuses = [world.client.post("/label-studio/predict", data=b"{").status_code for _ in range(3)]
    assert statuses == [422, 422, 429]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_without_tokens_a_client_is_its_address_or_its_ipv6_network(
    make_world: Callable[..., World], first: str, second: str, same: bool
) -> None:
    world = make_world(rate_limit_uploads="1/hour")

    def upload(address: str) -> int:
        return world.client.post("/v1/images", data=png(), environ_base={"REMOTE_ADDR": address}).status_code

    assert upload(first) == 202
    assert upload(second) == (429 if same else 202)


def test_a_refused_token_costs_nobody_anything(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS, rate_limit_uploads="1/hour")
    for _ in range(5):
        assert world.client.post("/v1/images", data=png()).status_code == 401
        assert Tenant(world, ALICE_READS).upload(png()).status_code == 403
    assert Tenant(world, ALICE).upload(png()).status_code == 202


# Other origins

TOOL = "https://tool.example"


@pytest.fixture
def cors(make_world: Callable[..., World]) -> World:
    return make_world(tokens=TOKENS, cors_origins=TOOL)


def preflight(world: World, origin: str, path: str = "/v1/images") -> TestResponse:
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    return world.client.options(path, headers=asks)


def test_a_listed_origin_may_ask_and_read_without_credentials(cors: World) -> None:
    asked = preflight(cors, TOOL)
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == TOOL
    assert {"GET", "POST", "DELETE"} <= set(asked.headers["Access-Control-Allow-Methods"].split(", "))
    assert {"Authorization", "Content-Type"} <= set(asked.headers["Access-Control-Allow-Headers"].split(", "))
    assert int(asked.headers["Access-Control-Max-Age"]) > 0
    answer = Tenant(cors, ALICE)("POST", "/v1/images", data=png(), headers={"Origin": TOOL})
    assert answer.headers["Access-Control-Allow-Origin"] == TOOL
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"Server-Timing", "Location", "Retry-After", "ETag", "X-Request-ID"} <= exposed
    for one in (asked, answer):
        assert "Origin" in one.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in one.headers


def test_a_listed_origin_can_read_why_it_was_refused(cors: World) -> None:
    answer = cors.client.get("/v1/models", headers={"Origin": TOOL})
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["Access-Control-Allow-Origin"] == TOOL


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://tool.example", "https://tool.example:8443", "null", "https://tool.example.evil"],
)
def test_any_other_origin_may_not(cors: World, origin: str) -> None:
    for answer in (preflight(cors, origin), Tenant(cors, ALICE)("GET", "/v1/models", headers={"Origin": origin})):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
        assert "Origin" in answer.headers["Vary"]


def test_without_a_list_no_origin_may(world: World) -> None:
    for answer in (preflight(world, TOOL), world.client.get("/v1/models", headers={"Origin": TOOL})):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


# Headers


def test_every_answer_tells_browsers_to_be_careful(world: World) -> None:
    image_id = world.ready_image(png())
    for method, _, path in requests_of(world, image_id):
        answer = world.client.open(path, method=method, data=b"", buffered=True)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", (method, path)
        assert answer.headers["Referrer-Policy"] == "no-referrer", (method, path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy or "default-src 'self'" in policy, (method, path)
        assert "frame-ancestors" in policy, (method, path)
        assert "unsafe-inline" not in policy, (method, path)
        assert "'unsafe-eval'" not in policy, (method, path)


# The document


def test_the_document_says_what_needs_a_token(guarded: World, world: World) -> None:
    document = guarded.client.get("/openapi.json").json
    OpenAPIV31SpecValidator(document).validate()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, item in document["paths"].items():
        for method, operation in item.items():
            scope = needed_scope(method.upper(), path)
            assert operation.get("security") == (None if scope is None else [{"token": [scope]}])
            assert ("401" in operation["responses"]) == (scope is not None)
    assert "429" in document["paths"]["/v1/images"]["post"]["responses"]
    assert "429" in document["paths"]["/v1/images/{image_id}/masks"]["post"]["responses"]
    assert "security" not in world.client.get("/openapi.json").json["paths"]["/v1/images"]["post"]
    assert "Bearer $SAMCACHE_TOKEN" in guarded.client.get("/docs").text
    assert "Bearer $SAMCACHE_TOKEN" not in world.client.get("/docs").text
    assert hashlib.sha256(ALICE.encode()).hexdigest() not in guarded.client.get("/openapi.json").text
