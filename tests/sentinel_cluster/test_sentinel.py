"""The queue with sentinels: masters are killed, hang and change while the API and its worker run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

import pytest
from limits import parse

from deploy.local.ports import free_port
from deploy.local.process import ProcessGroup
from prompt_api.access.rates import RateLimits
from prompt_api.access.scopes import Quota
from shared.contract.errors import ConfigurationError, RateLimited, StoreUnavailable
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.queue.interface import JobStatus
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import SENTINEL_TIMEOUT, cache_client, request_client
from shared.store.redis_store import RedisStore
from tests.sentinel_cluster.scene import MOST, Answer, Scene, api, id_of, photo, worker
from tests.sentinel_cluster.sentinels import DOWN_AFTER, Replicated
from tests.sentinel_cluster.until import until
from tests.support.servers import CACHE_OPTIONS, Server, thawed


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Replicated, Settings]]:
    folder = tmp_path_factory.mktemp("valkey")
    with ExitStack() as stack:
        group = ProcessGroup()
        stack.callback(group.close)
        cache = Server(
            "cache", folder / "cache", CACHE_OPTIONS, maxmemory=256 << 20, group=group, sink=lambda _line: None
        )
        stack.callback(cache.stop)
        queue = Replicated(folder, group)
        stack.callback(queue.stop)
        yield queue, Settings(model="fake", cache_url=f"redis://127.0.0.1:{cache.port}/0", queue_url=queue.url)


@pytest.fixture
def queue(parts: tuple[Replicated, Settings]) -> Replicated:
    """Return the queue once all three servers and all sentinels are well."""
    parts[0].wait_until_whole()
    return parts[0]


@pytest.fixture
def settings(parts: tuple[Replicated, Settings]) -> Settings:
    return parts[1]


@pytest.fixture
def scene(settings: Settings, queue: Replicated) -> Iterator[Scene]:
    with api(settings) as scene:
        assert scene.ready().status == 200
        yield scene


class Upload(NamedTuple):
    data: bytes
    ended: float
    answer: Answer


class Uploads:
    """Clients that keep uploading new photos."""

    def __init__(self, scene: Scene, clients: int = 2) -> None:
        self.all: list[Upload] = []
        self._scene = scene
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(clients)
        self._clients = [self._threads.submit(self._upload) for _ in range(clients)]

    def acknowledged(self, since: float = 0.0) -> list[Upload]:
        return [one for one in list(self.all) if one.answer.status in (200, 202) and one.ended > since]

    def stop(self) -> None:
        self._stop.set()
        self._threads.shutdown()
        for client in self._clients:
            client.result()

    def _upload(self) -> None:
        while not self._stop.wait(0.1):
            data = photo()
            answer = self._scene.upload(data)
            self.all.append(Upload(data, time.monotonic(), answer))


def test_a_worker_and_the_events_move_to_the_next_master(scene: Scene, queue: Replicated, settings: Settings) -> None:
    def encodes() -> bool:
        answer = scene.upload(wait=30)
        return answer.status == 200 and answer.body["status"] == "ready"

    with worker(settings):
        assert encodes()
        queue.fail_over()  # the old master goes on as a replica, which can be read but not written
        until(encodes, "encoded and heard of")
        queue.wait_until_whole()
        dead = queue.master
        dead.kill()
        until(encodes, "encoded and heard of again")
        dead.restart()


def test_a_killed_master_refuses_uploads_until_the_next_one_and_loses_none(
    scene: Scene, queue: Replicated, settings: Settings
) -> None:
    uploads = Uploads(scene)
    until(lambda: len(uploads.acknowledged()) > 10, "uploads are taken")
    dead = queue.master
    dead.kill()
    killed = time.monotonic()
    until(lambda: len(uploads.acknowledged(since=killed + DOWN_AFTER)) > 10, "uploads are taken again")
    uploads.stop()

    others = [one for one in uploads.all if one not in uploads.acknowledged()]
    assert others
    assert all(one.answer.refused for one in others)
    assert max(one.answer.seconds for one in uploads.all) < MOST
    with request_client(settings.queue_url, 1.0) as client:
        jobs = RqEncodeQueue(client, settings)
        lost = [
            one
            for one in uploads.acknowledged()
            if jobs.state(EmbeddingKey.of(id_of(one.data), FAKE)).status is not JobStatus.QUEUED
        ]
    assert lost == []

    dead.restart()
    with worker(settings):  # no worker ran before, so every job went through the failover
        first = id_of(uploads.acknowledged()[0].data)
        until(lambda: scene.state(first, wait=5).body["status"] == "ready", "an image from before is ready")


def test_a_master_that_hangs_is_replaced_and_holds_up_nobody(scene: Scene, queue: Replicated) -> None:
    known, old = scene.upload().body["image_id"], queue.master
    with thawed(old):
        old.freeze()
        answers = [scene.upload(), scene.state(known), scene.delete(known)]
        assert all(answer.refused for answer in answers)

        def is_taken() -> bool:
            answers.append(scene.upload())
            assert answers[-1].status == 202 or answers[-1].refused
            return answers[-1].status == 202

        until(is_taken, "there is another master")
        assert max(answer.seconds for answer in answers) < MOST
    # When the old master is back, a client that still has a connection may take it for the master for a moment.
    queue.wait_until_whole()
    assert scene.upload().status == 202
    assert scene.ready().status == 200


def test_an_upload_that_no_replica_has_is_refused(scene: Scene, queue: Replicated) -> None:
    data, replicas = photo(), queue.replicas
    with thawed(*replicas):
        for replica in replicas:
            replica.freeze()
        for _ in range(2):  # the second upload finds the job of the first
            answer = scene.upload(data)
            assert answer.refused
            assert answer.seconds < MOST
    until(lambda: scene.upload(data).status == 202, "a replica confirms it")


def test_a_master_without_the_replicas_it_needs_to_write_refuses_uploads_alone(scene: Scene, queue: Replicated) -> None:
    known, master = scene.upload().body["image_id"], queue.master.client
    master.config_set("min-replicas-to-write", 3)
    try:
        assert scene.upload().refused
        assert scene.state(known).body["status"] == "queued"
        assert scene.ready().status == 200
    finally:
        master.config_set("min-replicas-to-write", 0)
    assert scene.upload().status == 202


def test_a_sentinel_that_hangs_is_waited_for_once(scene: Scene, queue: Replicated) -> None:
    asked = 12

    def seconds() -> float:
        """Return the seconds of uploads that each must find the master anew."""
        total = 0.0
        for _ in range(asked):
            queue.cut_connections()
            answer = scene.upload()
            assert answer.status == 202
            total += answer.seconds
        return total

    while_well = seconds()
    with thawed(*queue.sentinels[1:]):
        for sentinel in queue.sentinels[1:]:
            sentinel.freeze()
        assert seconds() - while_well < asked * SENTINEL_TIMEOUT


def test_a_master_that_evicts_is_refused_as_the_queue(queue: Replicated, settings: Settings, scene: Scene) -> None:
    for server in queue.servers:
        server.set_policy("allkeys-lfu")
    try:
        with pytest.raises(ConfigurationError, match="noeviction"), api(settings):
            pass
        assert "noeviction" in scene.ready().body["checks"]["queue"]
    finally:
        for server in queue.servers:
            server.set_policy("noeviction")


def test_an_api_whose_sentinels_are_away_starts_and_says_so(settings: Settings) -> None:
    nobody = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/queue"
    with api(replace(settings, queue_url=nobody)) as scene:
        assert scene.ready().body["failing"] == ["queue"]
        assert scene.upload().refused


def test_sentinels_that_do_not_know_the_service_are_named_in_no_answer(queue: Replicated) -> None:
    store = RedisStore(cache_client(queue.url + "-of-others", 1.0))
    with pytest.raises(StoreUnavailable) as refusal:
        store.get("key")
    assert "127.0.0.1" not in refusal.value.detail


def test_the_cache_may_stand_behind_sentinels_as_well(queue: Replicated) -> None:
    store = RedisStore(cache_client(queue.url, 1.0))
    rates = RateLimits({Quota.PROMPTS: parse("1/hour")}, request_client(queue.url, 1.0))
    for round_ in range(2):
        rates.spend(Quota.PROMPTS, f"client {round_}")
        with pytest.raises(RateLimited):
            rates.spend(Quota.PROMPTS, f"client {round_}")
        store.put("key", b"value", 60)
        assert (store.get("key"), store.exists("other")) == (b"value", False)
        store.add_member("set", "one", 60)
        assert (store.members("set"), store.remove_member("set", "one")) == (frozenset({"one"}), 0)
        assert store.delete("key")
        if round_ == 0:
            queue.fail_over()
