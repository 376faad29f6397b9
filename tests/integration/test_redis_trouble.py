"""The API while Redis hangs, dies, fills up, lags or disconnects: each request ends soon, and the API recovers."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from PIL import Image

from deploy.local.process import ProcessGroup
from encoder_worker.backends.fake.encoder import FakeEncoder
from prompt_api.http.app import create_app
from prompt_api.service.masks import LOOK_SECONDS
from prompt_api.wiring import wired_services
from shared.contract.keys import EmbeddingKey, record_key
from shared.contract.models import FAKE, SAM1
from shared.contract.settings import Settings
from shared.images.reading import decode_image
from shared.redis.allowance import GRACE
from shared.tensors.embedding import encode_embedding
from tests.support.proxy import FAIR, Link, Proxy, Trap, Weather
from tests.support.servers import CACHE_OPTIONS, QUEUE_OPTIONS, Server, thawed
from tests.support.waiting import waited

MOST = 2.0 + 1.0
"""Seconds that a request may wait whatever Redis does, and slack; typical is one."""

HEALS = 60.0
"""Seconds after which a test gives up; typical is one."""

MIB = 1 << 20
MEMORY = 64 * MIB
CLICK = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}
AUTO = {"prompts": [{"box": [30, 30, 60, 60]}], "region": "auto"}
NO_RECIPE = {"prompts": [{"points": [[40 + n / 10, 30] for n in range(40)], "labels": [1] * 40}]}
"""A prompt too large for a recipe token, so the API stores the logits of its answer in Redis."""


@dataclass(frozen=True)
class Answer:
    """Attributes:
    seconds: that the request waited.
    """

    status: int
    seconds: float
    code: str | None
    retry_after: str | None


class Scene:
    """The API in this process, with its two Redis servers behind a proxy."""

    def __init__(self, app: Flask, cache: Server, queue: Server, cache_link: Link, queue_link: Link) -> None:
        self.cache, self.queue, self.cache_link, self.queue_link = cache, queue, cache_link, queue_link
        self._app = app
        self._count = 0

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        began = waited()
        answer = self._app.test_client().open(f"/v1/images{path}", method=method, **options)
        _ = answer.data
        code = answer.json.get("code") if answer.is_json else None
        return Answer(answer.status_code, waited() - began, code, answer.headers.get("Retry-After"))

    def ready(self) -> Answer:
        began = waited()
        answer = self._app.test_client().get("/readyz")
        return Answer(answer.status_code, waited() - began, None, None)

    def scrape(self) -> tuple[str, float]:
        """The metrics, and the seconds waited for them."""
        began = waited()
        answer = self._app.test_client().get("/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text, waited() - began

    def upload(self, data: bytes | None = None) -> Answer:
        return self.ask("POST", "", data=self.photo() if data is None else data)

    def photo(self, *, wide: int = 120) -> bytes:
        """Return an image that was not uploaded before."""
        self._count += 1
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(self._count).integers(0, 255, (80, wide, 3), np.uint8)).save(file, "PNG")
        return file.getvalue()

    def image(self, *, encoded: bool = True, wide: int = 120) -> str:
        """Upload an image and return its id."""
        data = self.photo(wide=wide)
        answer = self._app.test_client().post("/v1/images", data=data)
        assert answer.status_code == 202, answer.text
        image_id = str(answer.json["image_id"])
        if encoded:
            rgb = decode_image(data, max_pixels=1_000_000)
            key = EmbeddingKey.of(image_id, FAKE)
            (tensors,) = FakeEncoder().encode([SAM1.frame.resize(rgb)])
            self.cache.client.set(
                key.redis_key,
                encode_embedding(
                    key, tensors, specs=SAM1.tensors, dtypes={"embedding": "float16"}, original=rgb.shape[:2]
                ),
            )
        return image_id

    def warm_image(self, *, wide: int = 120) -> str:
        """Return the id of an image that the API has in memory."""
        image_id = self.image(wide=wide)
        assert self.prompt(image_id).status == 200
        return image_id

    def prompt(self, image_id: str, body: object = CLICK) -> Answer:
        return self.ask("POST", f"/{image_id}/masks", json=body)

    def similar(self, image_id: str) -> Answer:
        return self.ask("POST", f"/{image_id}/similar", json={"examples": CLICK["prompts"], "limit": 1})

    def every_route(self) -> dict[str, Callable[[], Answer]]:
        """Return a function for each route that needs Redis, by name. Tests call them while Redis is away."""
        cold, pending, unwanted, photo = self.image(), self.image(encoded=False), self.image(), self.photo()
        return {
            "upload": lambda: self.ask("POST", "?wait=5", data=photo),
            "state": lambda: self.ask("GET", f"/{pending}"),
            "wait": lambda: self.ask("GET", f"/{pending}?wait=5"),
            "events": lambda: self.ask("GET", f"/{pending}/events"),
            "masks": lambda: self.prompt(cold),
            "masks of a region": lambda: self.prompt(cold, {**CLICK, "region": [0, 0, 64, 64]}),
            "similar": lambda: self.similar(cold),
            "regions": lambda: self.ask("POST", f"/{pending}/regions?wait=5", json={"regions": [[0, 0, 64, 64]]}),
            "embedding": lambda: self.ask("GET", f"/{cold}/embedding"),
            "delete": lambda: self.ask("DELETE", f"/{unwanted}"),
        }

    def routes_that_end(self) -> dict[str, Callable[[], Answer]]:
        """Those of them that do not wait for the image."""
        routes = self.every_route()
        routes["upload"] = self.upload
        return {name: ask for name, ask in routes.items() if name not in ("wait", "events", "regions")}

    def heals(self) -> bool:
        """Whether uploads and prompts on what is in no memory work again."""
        deadline = time.monotonic() + HEALS
        while time.monotonic() < deadline:
            if self.ready().status == 200 and self.upload().status == 202 and self.prompt(self.image()).status == 200:
                return True
            time.sleep(0.05)
        return False


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("valkey")
    with ExitStack() as stack:
        group = ProcessGroup()
        stack.callback(group.close)
        servers = []
        for name, options in (("cache", CACHE_OPTIONS), ("queue", QUEUE_OPTIONS)):
            server = Server(name, folder / name, options, maxmemory=MEMORY, group=group, sink=lambda _line: None)
            stack.callback(server.stop)
            servers.append(server)
        proxy = stack.enter_context(Proxy())
        links = [proxy.link(server.name, server.port) for server in servers]
        settings = Settings(model="fake", cache_url=links[0].url, queue_url=links[1].url)
        services = stack.enter_context(wired_services(settings))
        yield Scene(create_app(services), servers[0], servers[1], links[0], links[1])


@pytest.fixture(autouse=True)
def fair_weather(scene: Scene) -> Iterator[None]:
    """End each test with fair weather and a service that works."""
    yield
    for link in (scene.cache_link, scene.queue_link):
        link.set_weather(FAIR)
    assert scene.heals()


def is_refusal(answer: Answer) -> bool:
    return (answer.status, answer.code) == (503, "store-unavailable") and answer.retry_after is not None


def test_while_both_are_stopped_every_request_ends_in_time_and_memory_answers(scene: Scene) -> None:
    warm, routes = scene.warm_image(), scene.every_route()
    assert scene.similar(warm).status == 200
    with thawed(scene.cache, scene.queue):
        scene.cache.freeze()
        scene.queue.freeze()
        answers = {name: ask() for name, ask in routes.items()}
        assert [name for name, answer in answers.items() if not is_refusal(answer)] == []
        assert max(answer.seconds for answer in answers.values()) < MOST
        ready = scene.ready()
        assert (ready.status, ready.seconds < MOST) == (503, True)
        for body in (CLICK, NO_RECIPE):
            answer = scene.prompt(warm, body)
            assert (answer.status, answer.seconds < MOST) == (200, True)
        answer = scene.similar(warm)
        assert (answer.status, answer.seconds < MOST) == (200, True)
    assert scene.heals()


@pytest.mark.parametrize("roles", [("cache", "queue"), ("cache",), ("queue",)])
def test_while_redis_hangs_auto_waits_a_moment_and_the_whole_image_answers(
    scene: Scene, roles: tuple[str, ...]
) -> None:
    warm = scene.warm_image(wide=2000)
    servers: list[Server] = [getattr(scene, role) for role in roles]
    with thawed(*servers):
        for server in servers:
            server.freeze()
        answer = scene.prompt(warm, AUTO)
    # Two looks may begin before the allowance is used up, and the grace of an operation is not charged.
    assert (answer.status, answer.seconds < 2 * (LOOK_SECONDS + GRACE) + 0.1) == (200, True)


@pytest.mark.parametrize("role", ["cache", "queue"])
def test_while_one_is_stopped_every_request_ends_in_time(scene: Scene, role: str) -> None:
    routes = scene.every_route()
    server: Server = getattr(scene, role)
    with thawed(server):
        server.freeze()
        answers = {name: ask() for name, ask in routes.items()}
        assert {answer.status for answer in answers.values()} <= {200, 202, 204, 503}
        assert max(answer.seconds for answer in answers.values()) < MOST


def test_a_scrape_ends_in_time_and_leaves_out_what_a_hanging_redis_does_not_tell(scene: Scene) -> None:
    well, _ = scene.scrape()
    assert 'sam_queue_waiting_jobs{model="fake"}' in well
    assert 'sam_api_redis_breakers_open{client="queue"} 0.0' in well
    with thawed(scene.cache, scene.queue):
        scene.cache.freeze()
        scene.queue.freeze()
        text, seconds = scene.scrape()
    assert seconds < MOST
    assert "\nsam_queue_waiting_jobs" not in text
    for role in ("cache", "queue"):
        assert f'sam_api_dependency_up{{dependency="{role}"}} 0.0' in text
    assert scene.heals()
    assert scene.scrape()[0].count("sam_api_redis_breakers_open{") == 3
    assert 'sam_api_redis_breakers_open{client="queue"} 0.0' in scene.scrape()[0]


def test_of_a_crowd_nobody_waits_longer_than_one_alone(scene: Scene) -> None:
    warm, photos = scene.warm_image(), [scene.photo() for _ in range(60)]
    asked: list[bytes] = []
    with thawed(scene.cache, scene.queue), ThreadPoolExecutor(8) as threads:
        assert {answer.status for answer in threads.map(scene.upload, photos)} == {202}
        scene.cache.freeze()
        scene.queue.freeze()
        with scene.cache_link.watched(asked.append), scene.queue_link.watched(asked.append):
            prompts = [threads.submit(scene.prompt, warm) for _ in range(20)]
            assert all(is_refusal(answer) for answer in threads.map(scene.upload, photos))
            assert {prompt.result().status for prompt in prompts} == {200}
    # Whoever asks a server that hangs waits for a second. Only the eight at work when it began to hang do, and one in
    # each half second to find out whether it still does.
    assert len(asked) < len(photos) / 2


def test_killed_and_started_empty_it_refuses_forgets_and_works_again(scene: Scene) -> None:
    known = scene.image()
    for server in (scene.cache, scene.queue):
        server.kill()
    answer = scene.upload()
    assert is_refusal(answer)
    assert answer.seconds < MOST
    for server in (scene.cache, scene.queue):
        server.restart(empty=True)
    assert scene.heals()
    assert scene.prompt(known).code == "image-not-found"


@pytest.mark.parametrize("role", ["cache", "queue"])
def test_full_memory_refuses_uploads_and_nothing_else(scene: Scene, role: str) -> None:
    known, server = scene.image(), getattr(scene, role)
    server.set_policy("noeviction")
    server.client.config_set("maxmemory", MIB)  # less than it already holds
    try:
        assert is_refusal(scene.upload())
        assert scene.prompt(known).status == 200
        assert scene.ready().status == 200
    finally:
        server.client.config_set("maxmemory", MEMORY)
        scene.cache.set_policy("allkeys-lfu")
    assert scene.upload().status == 202


@pytest.mark.parametrize("role", ["cache", "queue"])
def test_a_replica_that_takes_no_writes_refuses_uploads_and_nothing_else(scene: Scene, role: str) -> None:
    known, server = scene.image(), getattr(scene, role)
    server.client.replicaof("127.0.0.1", 1)
    try:
        assert is_refusal(scene.upload())
        assert scene.prompt(known).status == 200
    finally:
        server.client.replicaof("NO", "ONE")
    assert scene.upload().status == 202


def test_on_a_slow_network_many_round_trips_end_in_time(scene: Scene) -> None:
    routes = scene.every_route()
    for link in (scene.cache_link, scene.queue_link):
        link.set_weather(Weather(delay=0.15))
    with ThreadPoolExecutor(len(routes)) as threads:
        asked = [threads.submit(ask) for name, ask in routes.items() if name not in ("wait", "events")]
        answers = [one.result() for one in asked]
    assert {answer.status for answer in answers} <= {200, 202, 204, 409, 503}
    assert max(answer.seconds for answer in answers) < MOST


def test_an_embedding_that_trickles_in_is_given_up_in_time(scene: Scene) -> None:
    cold, state = scene.image(), scene.image()
    scene.cache_link.set_weather(Weather(bytes_per_second=400_000))
    answer = scene.prompt(cold)
    assert is_refusal(answer)
    assert answer.seconds < MOST
    assert scene.ask("GET", f"/{state}").status == 200  # a small value still arrives in time


def test_a_connection_cut_inside_an_embedding_costs_one_request(scene: Scene) -> None:
    cold = scene.image()
    scene.cache_link.set_weather(Weather(cut=MIB))
    assert is_refusal(scene.prompt(cold))
    scene.cache_link.set_weather(FAIR)
    assert scene.prompt(cold).status == 200


def test_connections_reset_between_requests_cost_none(scene: Scene) -> None:
    cold = scene.image()
    scene.cache_link.reset()
    assert scene.prompt(cold).status == 200


def test_a_deletion_that_was_not_heard_is_found_out(scene: Scene) -> None:
    """The subscription breaks, another replica deletes the image, and the subscription comes back."""
    kept, deleted = scene.warm_image(), scene.warm_image()
    scene.queue_link.set_weather(Weather(refuse=True))
    scene.queue_link.reset()
    assert scene.prompt(deleted).status == 200  # the API does not know of the deletion yet
    scene.cache.client.delete(record_key(deleted), EmbeddingKey.of(deleted, FAKE).redis_key)
    scene.queue_link.set_weather(FAIR)
    deadline = time.monotonic() + HEALS
    while scene.prompt(deleted).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert scene.prompt(deleted).code == "image-not-found"
    assert scene.prompt(kept).status == 200


NONSENSE = {
    "a number": b":7\r\n",
    "no number": b":abc\r\n",
    "nested deep": b"*1\r\n" * 5_000 + b":1\r\n",
    "a table": b"%1\r\n+a\r\n*0\r\n",
    "an error": b"-ERR what\r\n",
}


@pytest.mark.parametrize("reply", NONSENSE.values(), ids=NONSENSE)
def test_replies_that_nobody_asked_for_cost_no_request(scene: Scene, reply: bytes) -> None:
    warm = scene.warm_image()
    for name, ask in scene.routes_that_end().items():
        for link in (scene.cache_link, scene.queue_link):
            link.add(reply)
        assert ask().status < 500 or ask().status < 500, name  # one that comes after a look at the connection costs it
    assert scene.prompt(warm).status == 200


@pytest.mark.parametrize("reply", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("role", ["cache_link", "queue_link"])
def test_whatever_redis_answers_no_route_breaks(scene: Scene, role: str, reply: bytes) -> None:
    link: Link = getattr(scene, role)
    for name, ask in scene.routes_that_end().items():
        trap = Trap(re.compile(b""), hold=False, instead=reply + reply)
        link.arm(trap)
        answer = ask()
        link.disarm(trap)
        assert answer.status != 500, name
