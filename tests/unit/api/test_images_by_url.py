"""`POST /v1/images` with a URL: access, limits and answers are those of an upload of bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.policy import image_hosts_namespace
from prompt_api.access.scopes import Scope
from prompt_api.remote_images.allowed import parse_allowed
from prompt_api.remote_images.fetch import RemoteImages
from prompt_api.remote_images.names import Names
from prompt_api.remote_images.s3 import S3, Credentials
from prompt_api.wire.requests import MAX_REFERENCE_BODY
from prompt_api.wiring import remote_images
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings
from tests.support.https_server import Answer, Asked, Authority, serving
from tests.support.label_studio import POINT, TASK, Background, request, studio
from tests.support.world import World, png
from tests.unit.api.test_problems import assert_problem

PICTURE = png()
IMAGE_ID = hashlib.sha256(PICTURE).hexdigest()
NAME = "images.example.org"
ALICE, ALICE_READS, BOB = (new_token() for _ in range(3))
TOKENS = ",".join(
    grant.entry
    for grant in (
        Grant("alice", frozenset(Scope), digest_of(ALICE)),
        Grant("alice", frozenset({Scope.READ}), digest_of(ALICE_READS)),
        Grant("bob", frozenset(Scope), digest_of(BOB)),
    )
)


@dataclass
class Host:
    """A host with images, and a store with S3's interface, which is the same server without TLS."""

    authority: Authority
    port: int = 0
    store: str = ""
    asked: Asked = field(default_factory=list)
    asked_store: Asked = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}/a.png"

    def door(self, **more: Any) -> RemoteImages:
        options: dict[str, Any] = {"max_bytes": 100_000, "tls": self.authority.context}
        return RemoteImages(
            parse_allowed(f"{NAME}:{self.port}, s3://photos"),
            names=Names(lambda _: ["127.0.0.1"]),
            is_public=lambda address: address == "127.0.0.1",
            s3=S3(Credentials("key", "secret"), "us-east-1", urlsplit(self.store)),
            **{**options, **more},
        )


def answered(_: str, path: str) -> Answer:
    return {
        "/a.png": (200, {"Content-Length": str(len(PICTURE))}, [PICTURE]),
        "/notes.txt": (200, {}, [b"not a picture"]),
        "/large": (200, {}, [bytes(100_001)]),
    }.get(path) or ((200, {}, [PICTURE]) if path.startswith("/photos/") else (404, {}, []))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host(Authority())
    with (
        serving(answered, host.authority.server_context(NAME)) as (host.port, host.asked),
        serving(answered) as (port, host.asked_store),
    ):
        host.store = f"http://store.internal:{port}"
        yield host


@pytest.fixture
def world(host: Host, make_world: Callable[..., World]) -> World:
    host.asked.clear()
    host.asked_store.clear()
    return make_world(remote=host.door())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_an_image_by_url_is_the_image_of_its_bytes(world: World, host: Host) -> None:
    answer = world.client.post("/v1/images", json={"url": host.url})
    assert (answer.status_code, answer.json["image_id"], answer.json["status"]) == (202, IMAGE_ID, "queued")
    assert answer.headers["Location"] == f"/v1/images/{IMAGE_ID}?model=fake"
    assert "download" in world.client.get("/metrics").text
    world.encode_next()
    assert world.client.post("/v1/images", json={"url": host.url}).status_code == 200
    assert world.client.post("/v1/images", data=PICTURE).status_code == 200
    assert len(world.encodes) == 1


def test_an_object_in_an_allowed_bucket_is_taken(world: World, host: Host) -> None:
    answer = world.client.post("/v1/images?model=other", json={"url": "s3://photos/2026/my cup.png"})
    assert (answer.status_code, answer.json["image_id"], answer.json["model"]) == (202, IMAGE_ID, "other")
    ((_, path),) = host.asked_store
    assert path.startswith("/photos/2026/my%20cup.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/notes.txt", 415, "unsupported-image"),
        ("/large", 413, "image-too-large"),
        ("/none.png", 422, "image-unreachable"),
    ],
)
def test_what_is_found_there_is_checked_like_an_upload(
    world: World, host: Host, path: str, status: int, code: str
) -> None:
    assert_problem(world.client.post("/v1/images", json={"url": host.url.replace("/a.png", path)}), status, code)


def test_urls_off_the_list_have_their_own_code(world: World) -> None:
    for url in ("https://elsewhere.example.org/a.png", "http://images.example.org/a", "s3://others/a", "file:///a"):
        assert_problem(world.client.post("/v1/images", json={"url": url}), 422, "url-not-allowed")


def test_by_default_nothing_is_fetched(make_world: Callable[..., World]) -> None:
    answer = make_world().client.post("/v1/images", json={"url": "https://images.example.org/a.png"})
    assert_problem(answer, 422, "url-not-allowed")
    assert answer.json["detail"] == "this service fetches no images by URL: SAM_IMAGE_HOSTS is empty"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}",
        b'{"url": 7}',
        b'{"url": ""}',
        b'{"url": null}',
        b'{"url": "https://a", "more": 1}',
        b'{"url": "' + b"a" * 3000 + b'"}',
        b'{"url": "' + b"a" * MAX_REFERENCE_BODY + b'"}',
        b"{" + b"[" * 500,
        b'  {"urls": []}',
    ],
)
def test_any_other_json_is_refused(world: World, body: bytes) -> None:
    answer = world.client.post("/v1/images", data=body, content_type="application/json; charset=utf-8")
    assert_problem(answer, 422, "invalid-parameter")


def test_an_image_that_claims_to_be_json_is_an_image_all_the_same(world: World) -> None:
    assert world.client.post("/v1/images", data=PICTURE, content_type="application/json").status_code == 202
    answer = world.client.post("/v1/images", data=b"[1]", content_type="application/json")
    assert_problem(answer, 415, "unsupported-image")


def test_a_fetched_image_belongs_to_the_namespace_that_asked(host: Host, make_world: Callable[..., World]) -> None:
    client = make_world(remote=host.door(), tokens=TOKENS).client
    body = {"url": host.url}
    assert_problem(client.post("/v1/images", json=body), 401, "unauthorized")
    assert_problem(client.post("/v1/images", json=body, headers=bearer(ALICE_READS)), 403, "forbidden")
    host.asked.clear()
    assert client.post("/v1/images", json=body, headers=bearer(ALICE)).status_code == 202
    assert client.get(f"/v1/images/{IMAGE_ID}", headers=bearer(ALICE_READS)).status_code == 200
    assert_problem(client.get(f"/v1/images/{IMAGE_ID}", headers=bearer(BOB)), 404, "image-not-found")
    assert len(host.asked) == 1


def test_a_namespace_that_may_not_have_images_fetched_is_refused(host: Host, make_world: Callable[..., World]) -> None:
    client = make_world(remote=host.door(only_for="alice"), tokens=TOKENS).client
    answer = client.post("/v1/images", json={"url": host.url}, headers=bearer(BOB))
    assert_problem(answer, 422, "url-not-allowed")
    assert client.post("/v1/images", json={"url": host.url}, headers=bearer(ALICE)).status_code == 202


def test_a_fetch_counts_as_an_upload(host: Host, make_world: Callable[..., World]) -> None:
    client = make_world(remote=host.door(), rate_limit_uploads="1/hour").client
    assert client.post("/v1/images", json={"url": host.url}).status_code == 202
    assert_problem(client.post("/v1/images", json={"url": host.url}), 429, "rate-limited")


def test_a_fetch_takes_a_thread_only_if_one_may_wait(host: Host, make_world: Callable[..., World]) -> None:
    world = make_world(remote=host.door(), api_threads=2)
    with world.services.waiters:
        assert_problem(world.client.post("/v1/images", json={"url": host.url}), 503, "overloaded")
        refused = world.client.post("/v1/images", json={"url": "https://elsewhere.example.org/a"})
        assert_problem(refused, 422, "url-not-allowed")  # that needs no thread that waits
    assert world.client.post("/v1/images", json={"url": host.url}).status_code == 202


def test_a_fetch_holds_no_slot_of_those_for_uploads(host: Host, make_world: Callable[..., World]) -> None:
    free: list[bool] = []

    class Watching(RemoteImages):
        @contextmanager
        def fetched(self, reference: str, namespace: str = "") -> Iterator[bytes]:
            slots = [world.services.uploads.acquire(blocking=False) for _ in range(8)]
            free.extend(slots)
            for _ in filter(None, slots):
                world.services.uploads.release()
            yield PICTURE

    world = make_world(remote=Watching(parse_allowed(f"{NAME}:{host.port}"), max_bytes=1))
    assert world.client.post("/v1/images", json={"url": host.url}).status_code == 202
    assert free == [True] * 8


@pytest.mark.parametrize("reference", ["url", "s3://photos/a.png"])
def test_tasks_of_label_studio_use_the_same_door(
    host: Host, make_world: Callable[..., World], background: Background, reference: str
) -> None:
    host.asked.clear()
    host.asked_store.clear()
    world = make_world(remote=host.door(), background=background)  # without any Label Studio to fetch from
    task = {**TASK, "data": {"image": host.url if reference == "url" else reference}}
    world.client.post("/label-studio/predict", json=request(task=task, context=False))
    background.finish()
    world.encode_next()
    answer = world.client.post("/label-studio/predict", json=request(POINT, task=task))
    assert answer.json["results"][0]["result"]
    assert len(host.asked) + len(host.asked_store) == 1


def test_a_task_cannot_lead_past_the_namespace_of_the_door(
    host: Host, make_world: Callable[..., World], background: Background
) -> None:
    world = make_world(remote=host.door(only_for="alice"), background=background, tokens=TOKENS)
    task = {**TASK, "data": {"image": host.url}}
    host.asked.clear()
    answer = world.client.post("/label-studio/predict", json=request(POINT, task=task), headers=bearer(BOB))
    assert_problem(answer, 422, "image-unreachable")
    assert host.asked == []


def test_a_bucket_of_another_namespace_is_still_reached_by_way_of_label_studio(
    host: Host, make_world: Callable[..., World], background: Background
) -> None:
    host.asked_store.clear()
    with studio(lambda *_: (200, {}, PICTURE)) as (url, asked):
        settings = {"label_studio_url": url, "label_studio_namespace": "bob", "tokens": TOKENS}
        world = make_world(remote=host.door(only_for="alice"), background=background, **settings)
        task = {**TASK, "data": {"image": "s3://photos/a.png"}}
        world.client.post("/label-studio/predict", json=request(task=task, context=False), headers=bearer(BOB))
        background.finish()
    assert [path.partition("?")[0] for _, path, _ in asked] == ["/tasks/3/presign/"]
    assert host.asked_store == []


def test_an_image_on_label_studio_is_fetched_with_its_token_even_if_its_host_is_listed(
    make_world: Callable[..., World],
) -> None:
    with studio(lambda *_: (200, {}, PICTURE)) as (url, asked):
        listed = RemoteImages(parse_allowed("labels.example"), max_bytes=1)
        world = make_world(
            remote=listed,
            label_studio_url=url,
            label_studio_token="secret",
            label_studio_aliases="https://labels.example",
        )
        task = {**TASK, "data": {"image": "https://labels.example/data/upload/1/a.png"}}
        world.ready_image(PICTURE)
        world.client.post("/label-studio/predict", json=request(POINT, task=task))
    assert asked == [("GET", "/data/upload/1/a.png", "Token secret")]


# Settings


def test_buckets_of_several_namespaces_need_a_named_one() -> None:
    several = Settings(tokens=TOKENS)
    assert image_hosts_namespace(several, with_credentials=False) is None
    with pytest.raises(ConfigurationError, match=r"SAM_IMAGE_HOSTS_NAMESPACE= is not a namespace .*\(alice, bob\)"):
        image_hosts_namespace(several, with_credentials=True)
    named = Settings(tokens=TOKENS, image_hosts_namespace="bob")
    assert image_hosts_namespace(named, with_credentials=True) == "bob"
    assert image_hosts_namespace(named, with_credentials=False) == "bob"
    with pytest.raises(ConfigurationError):
        image_hosts_namespace(Settings(tokens=TOKENS, image_hosts_namespace="carol"), with_credentials=False)
    assert image_hosts_namespace(Settings(), with_credentials=True) is None


def test_buckets_need_credentials_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    remote_images(Settings(image_hosts="images.example.org"))
    with pytest.raises(ConfigurationError, match="set AWS_ACCESS_KEY_ID"):
        remote_images(Settings(image_hosts="s3://photos"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert remote_images(Settings(image_hosts="s3://photos")).serves("s3://photos/a.png")
    with pytest.raises(ConfigurationError, match="SAM_IMAGE_HOSTS"):
        remote_images(Settings(image_hosts="https://images.example.org"))
