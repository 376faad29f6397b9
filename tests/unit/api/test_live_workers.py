"""What the service says of models whose workers are gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event

from prompt_api.everything.job.key import everything_queue
from prompt_api.service.live_workers import KNOWN_SECONDS, LiveWorkers
from shared.contract.errors import StoreUnavailable
from shared.contract.keys import queue_name
from shared.contract.models import FAKE
from tests.support.memory_queue import MemoryEncodeQueue
from tests.support.world import OTHER, World, png

QUEUE = queue_name(FAKE.name, FAKE.weights_digest)
OTHERS = queue_name(OTHER.name, OTHER.weights_digest)
MASK_WORKERS = {everything_queue(model.name, model.weights_digest): 1 for model in (FAKE, OTHER)}
CLICK = {"prompts": [{"points": [[5, 5]], "labels": [1]}]}


def look(world: World, fake: int, other: int = 1) -> None:
    world.queue.workers = {QUEUE: fake, OTHERS: other} | MASK_WORKERS
    world.services.workers.look()


def test_readiness_names_each_model_without_a_worker_and_stays_ready(world: World) -> None:
    look(world, fake=0)
    answer = world.client.get("/readyz")
    assert answer.status_code == 200  # prompts on encoded images are answered
    assert (answer.json["status"], answer.json["failing"]) == ("ready", [])
    assert answer.json["degraded"] == ["workers of fake"]
    assert answer.json["checks"]["workers of fake"].startswith("no worker is alive")
    assert answer.json["checks"]["workers of other"] == "ok"
    look(world, fake=2)
    assert world.client.get("/readyz").json["degraded"] == []


def test_the_models_have_the_number_of_their_workers(world: World) -> None:
    look(world, fake=3, other=0)
    found = {model["name"]: model["workers"] for model in world.client.get("/v1/models").json["models"]}
    assert found == {"fake": 3, "other": 0}
    assert world.client.get("/v1/models/fake").json["workers"] == 3


def test_before_the_first_look_nothing_is_known(world: World) -> None:
    assert world.client.get("/v1/models/fake").json["workers"] is None
    body = world.client.get("/readyz").json
    assert (body["degraded"], body["checks"]["workers of fake"]) == ([], "not known")


def test_an_image_that_waits_says_how_many_workers_there_are(world: World) -> None:
    look(world, fake=0)
    answer = world.client.post("/v1/images", data=png())
    assert (answer.status_code, answer.json["status"], answer.json["workers"]) == (202, "queued", 0)
    image_id = answer.json["image_id"]
    refusal = world.client.post(f"/v1/images/{image_id}/masks", json=CLICK)
    assert (refusal.status_code, refusal.json["code"]) == (409, "embedding-pending")
    assert refusal.json["detail"] == "the image is not encoded yet, and no worker of fake is alive"
    look(world, fake=1)
    assert world.client.get(f"/v1/images/{image_id}").json["workers"] == 1
    refusal = world.client.post(f"/v1/images/{image_id}/masks", json=CLICK)
    assert refusal.json["detail"] == "the image is not encoded yet"
    world.encode_next()
    assert world.client.get(f"/v1/images/{image_id}").json["workers"] is None


def test_prompts_on_an_encoded_image_need_no_worker(world: World) -> None:
    image_id = world.ready_image(png())
    look(world, fake=0)
    assert world.client.post(f"/v1/images/{image_id}/masks", json=CLICK).status_code == 200


def test_who_follows_an_image_hears_that_the_last_worker_died(world: World) -> None:
    look(world, fake=1)
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]
    stream = iter(world.client.get(f"/v1/images/{image_id}/events").response)

    def next_event() -> tuple[str, int | None]:
        while True:
            text = next(stream).decode()  # type: ignore[union-attr]
            if "data: " in text:
                image = json.loads(text.partition("data: ")[2])
                return image["status"], image["workers"]

    assert next_event() == ("queued", 1)
    look(world, fake=0)
    assert next_event() == ("queued", 0)


def test_a_count_that_is_too_old_is_not_told() -> None:
    now, queue = 0.0, MemoryEncodeQueue()
    workers = LiveWorkers(queue, [FAKE], clock=lambda: now)
    queue.workers[QUEUE] = 1
    workers.look()
    queue.workers_alive = unavailable  # type: ignore[method-assign]
    now = KNOWN_SECONDS
    workers.look()
    assert workers.of(FAKE) == 1
    now += 0.1
    assert workers.of(FAKE) is None


def unavailable(queue: str) -> int:
    raise StoreUnavailable("Redis is away")


def test_no_error_of_a_look_ends_the_looking() -> None:
    looks, again = [], Event()

    class Failing(MemoryEncodeQueue):
        def workers_alive(self, queue: str) -> int:
            looks.append(queue)
            if len(looks) == 1:
                raise ZeroDivisionError
            again.set()
            return 7

    workers = LiveWorkers(Failing(), [FAKE])
    workers.start()
    assert again.wait(60)
    workers.close()


def test_a_model_whose_queue_fails_hides_no_other() -> None:
    def broken_for(name: str) -> Callable[[str], int]:
        def alive(queue: str) -> int:
            if queue == name:
                raise ZeroDivisionError
            return 4

        return alive

    queue = MemoryEncodeQueue()
    queue.workers_alive = broken_for(QUEUE)  # type: ignore[method-assign]
    workers = LiveWorkers(queue, [FAKE, OTHER])
    workers.look()
    assert (workers.of(FAKE), workers.of(OTHER)) == (None, 4)
