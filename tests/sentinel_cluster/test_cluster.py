"""The cache on a cluster of three nodes: everything works, and the loss of a node costs only the keys of that node."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from deploy.local.ports import free_port
from deploy.local.process import ProcessGroup
from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.scopes import Scope
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings
from shared.redis import allowance
from shared.redis.connections import cache_client
from shared.store.redis_store import RedisStore
from tests.sentinel_cluster.monitor import monitored
from tests.sentinel_cluster.nodes import MASTERS, Nodes
from tests.sentinel_cluster.scene import CLICK, MOST, NO_RECIPE, Scene, api, ready_image, worker
from tests.sentinel_cluster.until import until
from tests.support.servers import QUEUE_OPTIONS, Server, thawed

TOKEN = new_token()
GRANT = Grant("somebody", frozenset(Scope), digest_of(TOKEN)).entry

WITHOUT_KEYS = {"AUTH", "CLIENT", "CLUSTER", "ECHO", "HELLO", "INFO", "PING", "REPLCONF"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nodes, Settings]]:
    folder = tmp_path_factory.mktemp("valkey")
    with ExitStack() as stack:
        group = ProcessGroup()
        stack.callback(group.close)
        queue = Server(
            "queue", folder / "queue", QUEUE_OPTIONS, maxmemory=64 << 20, group=group, sink=lambda _line: None
        )
        stack.callback(queue.stop)
        nodes = Nodes(folder, group)
        stack.callback(nodes.stop)
        nodes.assemble()
        settings = Settings(
            model="fake",
            cache_url=nodes.url,
            queue_url=f"redis://127.0.0.1:{queue.port}/0",
            tokens=GRANT,
            rate_limit_prompts="1000/second",
            rate_limit_uploads="1000/second",
        )
        stack.enter_context(worker(settings))
        yield nodes, settings


@pytest.fixture
def nodes(parts: tuple[Nodes, Settings]) -> Nodes:
    """Return the cluster once it is whole."""
    parts[0].wait_until_whole()
    return parts[0]


@pytest.fixture(scope="module")
def settings(parts: tuple[Nodes, Settings]) -> Settings:
    return parts[1]


@pytest.fixture(scope="module")
def scene(settings: Settings) -> Iterator[Scene]:
    """Run one API for all tests. It is never restarted, whatever happened."""
    with api(settings, TOKEN) as scene:
        yield scene


@pytest.fixture
def store(settings: Settings) -> Iterator[RedisStore]:
    """Return a store in a thread that has the time allowance of a request."""
    allowance.grant(2 * settings.redis_timeout)
    yield RedisStore(cache_client(settings.cache_url, settings.redis_timeout))
    allowance.revoke()


def test_everything_works_and_no_command_names_two_keys(scene: Scene, nodes: Nodes, settings: Settings) -> None:
    with monitored(nodes.masters) as monitors, api(settings, TOKEN) as cold:
        assert scene.ready().status == 200
        for number in range(MASTERS):
            data = nodes.photo_on(number)
            pending = scene.upload(data)
            assert pending.status == 202
            image_id = pending.body["image_id"]
            events = scene.ask("GET", f"/v1/images/{image_id}/events").body.decode()
            assert events.rpartition("event: ")[2].startswith("ready\n")
            assert scene.ask("GET", f"/v1/images/{image_id}/embedding").status == 200
            for body in (CLICK, NO_RECIPE):
                mask = scene.prompt(image_id, body).body["results"][0]["masks"][0]
                again = {**CLICK["prompts"][0], "mask_token": mask["mask_token"]}
                assert cold.prompt(image_id, {"prompts": [again], "multimask": False}).status == 200
            assert scene.upload(data).status == 200
            assert scene.delete(image_id).status == 204
            assert scene.state(image_id).status == 404
    for monitor in monitors:
        by_key = [words for words in monitor.commands() if words[0].upper() not in WITHOUT_KEYS]
        assert {words[0].upper() for words in by_key} >= {"GET", "SET", "EXISTS", "UNLINK", "EVAL", "SMEMBERS"}
        for words in by_key:
            assert len(monitor.server.client.command_getkeys(*words)) == 1, words


def test_while_a_node_is_down_the_images_of_the_others_work(scene: Scene, nodes: Nodes, store: RedisStore) -> None:
    images = [ready_image(scene, nodes.photo_on(number)) for number in range(MASTERS)]
    dead = nodes.masters[1]
    dead.kill()
    for number, image_id in enumerate(images):
        data = nodes.photo_on(number)
        answers = [scene.upload(data), scene.state(image_id), scene.ask("GET", f"/v1/images/{image_id}/embedding")]
        if number == 1:
            assert all(answer.refused for answer in answers)
        else:
            assert [answer.status for answer in answers] == [202, 200, 200]
        assert scene.prompt(image_id).status in ((200, 503) if number == 1 else (200,))
        assert max(answer.seconds for answer in answers) < MOST
    assert scene.ready().status == 200
    dead.restart()
    until(lambda: scene.upload(nodes.photo_on(1)).status == 202, "its keys are served again")


def test_a_replica_takes_over_from_a_dead_node(scene: Scene, nodes: Nodes) -> None:
    dead, data = nodes.masters[0], nodes.photo_on(0)
    with thawed(nodes.replica):
        nodes.replica.freeze()  # until it was seen that the dead node is missed
        dead.kill()
        assert scene.upload(data).refused
    until(lambda: scene.upload(data).status == 202, "the replica has its keys")
    dead.restart()
    nodes.wait_until_whole()
    assert scene.upload(data, wait=20).status == 200


def test_a_node_that_hangs_holds_up_no_request_for_the_keys_of_others(scene: Scene, nodes: Nodes) -> None:
    with thawed(nodes.masters[2]):
        nodes.masters[2].freeze()
        with ThreadPoolExecutor(8) as threads:
            hung = [threads.submit(scene.upload, nodes.photo_on(2)) for _ in range(24)]
            well = [threads.submit(scene.upload, nodes.photo_on(1)) for _ in range(24)]
        assert all(one.result().refused for one in hung)
        assert {one.result().status for one in well} == {202}
        assert max(one.result().seconds for one in hung + well) < MOST
        assert scene.ready().status == 200
    until(lambda: scene.upload(nodes.photo_on(2)).status == 202, "its keys are served again")


def test_a_key_is_followed_while_its_slot_moves_and_after(nodes: Nodes, store: RedisStore) -> None:
    key = next(f"set {number}" for number in range(1000) if nodes.has(1, f"set {number}"))
    store.add_member(key, "one", 60)
    with nodes.moving(key, 1, to=2):
        assert store.members(key) == {"one"}  # not moved yet
        nodes.move(key, 1, to=2)
        assert store.members(key) == {"one"}  # the new node gets an ASKING before each command
        store.add_member(key, "two", 60)
    assert store.members(key) == {"one", "two"}
    assert store.remove_member(key, "one") == 1


def test_an_api_whose_cluster_is_away_starts_and_says_so(settings: Settings) -> None:
    nobody = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    with api(replace(settings, cache_url=nobody), TOKEN) as scene:
        assert scene.ready().body["failing"] == ["cache"]
        assert scene.upload().refused


def test_a_cluster_is_refused_as_the_queue_when_the_api_starts(nodes: Nodes) -> None:
    with pytest.raises(ConfigurationError, match="SAM_QUEUE_URL"), api(Settings(model="fake", cache_url=nodes.url)):
        pass
