"""`/v1/images/{id}/everything`: asking for every mask, following the job, reading it, stopping it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pycocotools.mask import decode

from prompt_api.everything.job.key import EverythingKey, asked_key, everything_queue, jobs_key
from prompt_api.everything.job.search import SearchImage
from prompt_api.everything.options import EverythingOptions
from shared.contract.errors import EverythingFailed, InvalidImage, StoreUnavailable
from shared.contract.keys import EmbeddingKey, image_key, queue_name
from shared.contract.models import FAKE
from shared.queue.interface import JobStatus
from tests.support.world import OTHER, World, png
from tests.unit.api.test_access import ALICE, ALICE_READS, BOB, TOKENS, Tenant

FEW: dict[str, Any] = {"points_per_side": 4, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.0}


def ask(world: World, image_id: str, options: dict[str, Any] | None = None, query: str = "") -> Any:
    return world.client.post(f"/v1/images/{image_id}/everything{query}", json=FEW if options is None else options)


def path(answer: Any) -> str:
    return str(answer.json["links"]["self"])


def key_of(image_id: str, options: dict[str, Any] | None = None) -> EverythingKey:
    return EverythingKey.of(image_id, FAKE, EverythingOptions.of(FEW if options is None else options))


def test_a_new_job_is_accepted_and_found_where_the_answer_says(world: World) -> None:
    image_id = world.ready_image(png())
    answer = ask(world, image_id)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/images/{image_id}/everything/{answer.json['job']}"
    assert answer.headers["Retry-After"] == "1"
    assert answer.json["job"] == key_of(image_id).name
    assert (answer.json["status"], answer.json["progress"], answer.json["masks"]) == ("queued", 0.0, [])
    assert answer.json["queue_position"] == 0
    found = world.client.get(answer.headers["Location"])
    assert found.status_code == 200
    assert found.json == answer.json


def test_the_masks_of_a_job_that_is_done_are_records_of_metas_generator(world: World) -> None:
    image_id = world.ready_image(png(120, 80))
    where = path(ask(world, image_id))
    world.search_next()
    done = world.client.get(where).json
    assert (done["status"], done["progress"], done["error"]) == ("done", 1.0, None)
    assert done["found"] == len(done["masks"]) > 0
    for mask in done["masks"]:
        shown = decode({**mask["rle"], "counts": mask["rle"]["counts"].encode()})
        assert shown.shape == (80, 120)
        assert mask["area"] == int(shown.sum()) > 0
        rows, columns = np.nonzero(shown)
        x, y, width, height = mask["bbox"]
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert mask["crop_box"] == [0, 0, 120, 80]
        assert len(mask["point_coords"]) == 1
        assert 0.5 < mask["predicted_iou"] <= 1
        assert 0 <= mask["stability_score"] <= 1
    again = ask(world, image_id)
    assert (again.status_code, again.json) == (200, done)


def test_ten_requests_are_one_job(world: World) -> None:
    image_id = world.ready_image(png())
    jobs = {ask(world, image_id).json["job"] for _ in range(10)}
    assert len(jobs) == 1
    world.search_next()
    with pytest.raises(IndexError):
        world.search_next()


def test_options_models_and_images_have_jobs_of_their_own(world: World) -> None:
    one, two = world.ready_image(png()), world.ready_image(png(60, 60))
    world.ready_image(png(), OTHER)
    names = [
        ask(world, one).json["job"],
        ask(world, two).json["job"],
        ask(world, one, FEW | {"mode": "fast"}).json["job"],
        ask(world, one, query="?model=other").json["job"],
    ]
    assert len(set(names)) == 4


def test_defaults_that_are_written_out_are_the_same_job(world: World) -> None:
    image_id = world.ready_image(png())
    names = {
        ask(world, image_id, options).json["job"]
        for options in ({}, {"points_per_side": 32, "format": "rle"}, {"mode": "exact", "pred_iou_thresh": 0.88})
    }
    names.add(world.client.post(f"/v1/images/{image_id}/everything").json["job"])
    assert len(names) == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"points_per_side": 0, "pred_iou_thresh": 2}', ["points_per_side=0", "pred_iou_thresh=2"]),
        (b'{"points_per_batch": 64}', ["points_per_batch"]),
        (b'{"mode": "slow"}', ["mode='slow'", "exact, fast"]),
        (b'{"format": "png"}', ["format='png'", "rle"]),
        (b"[]", ["object"]),
        (b"{", ["object"]),
        (b"\xff", ["object"]),
        (b"[" * 5_000, ["object"]),
        (b'{"pred_iou_thresh": NaN}', ["pred_iou_thresh=nan"]),
        (b'{"points_per_side": 128, "crop_n_layers": 1}', ["81920 points"]),
    ],
)
def test_options_out_of_range_are_named(world: World, body: bytes, named: list[str]) -> None:
    image_id = world.ready_image(png())
    answer = world.client.post(f"/v1/images/{image_id}/everything", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-parameter")
    for word in named:
        assert word in answer.json["detail"]


def test_a_body_that_is_too_large_is_refused(world: World) -> None:
    image_id = world.ready_image(png())
    answer = world.client.post(f"/v1/images/{image_id}/everything", data=b" " * 20_000)
    assert (answer.status_code, answer.json["code"]) == (413, "request-too-large")


def test_crops_that_are_too_small_to_encode_are_refused(world: World) -> None:
    image_id = world.ready_image(png(60, 60))
    answer = ask(world, image_id, {"points_per_side": 8, "crop_n_layers": 3, "crop_overlap_ratio": 0.0})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-parameter")
    assert "16 pixels" in answer.json["detail"]


def test_an_unknown_image_or_job_is_told(world: World) -> None:
    unknown = ask(world, "0" * 64)
    assert (unknown.status_code, unknown.json["code"]) == (404, "image-not-found")
    image_id = world.ready_image(png())
    for name in ("0" * 32, "0" * 31, "x"):
        for method in ("GET", "DELETE"):
            answer = world.client.open(f"/v1/images/{image_id}/everything/{name}", method=method)
            assert (answer.status_code, answer.json["code"]) == (404, "job-not-found")
    assert world.client.get(f"/v1/images/{image_id}/everything/{'0' * 32}/events").json["code"] == "job-not-found"


def test_the_name_of_another_images_job_is_unknown(world: World) -> None:
    one, two = world.ready_image(png()), world.ready_image(png(60, 60))
    name = ask(world, one).json["job"]
    record = world.store.get(asked_key(one, name))
    assert record is not None
    assert world.client.get(f"/v1/images/{two}/everything/{name}").json["code"] == "job-not-found"
    world.store.put(asked_key(two, name), record, 60)
    assert world.client.get(f"/v1/images/{two}/everything/{name}").json["code"] == "job-not-found"


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[]", b'{"arguments": [1, 2], "stopped": false}', b"\xff", b"[" * 9_000]
)
def test_a_damaged_record_is_an_unknown_job_until_the_next_request(world: World, damage: bytes) -> None:
    image_id = world.ready_image(png())
    answer = ask(world, image_id)
    world.store.put(asked_key(image_id, answer.json["job"]), damage, 60)
    assert world.client.get(path(answer)).json["code"] == "job-not-found"
    assert ask(world, image_id).json["status"] == "queued"
    assert world.client.get(path(answer)).json["status"] == "queued"


def test_an_image_that_is_not_encoded_yet_is_encoded_first(world: World) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]
    answer = ask(world, image_id)
    assert answer.status_code == 202
    world.encode_next()
    world.search_next()
    assert world.client.get(path(answer)).json["status"] == "done"


def test_a_lost_embedding_is_made_again_for_a_job(world: World) -> None:
    image_id = world.ready_image(png())
    world.store.delete(EmbeddingKey.of(image_id, FAKE).redis_key)
    world.queue.forget(EmbeddingKey.of(image_id, FAKE))  # the queue remembers a finished job for seconds only
    answer = ask(world, image_id)
    world.encode_next()
    world.search_next()
    assert world.client.get(path(answer)).json["status"] == "done"


def test_a_job_whose_embedding_does_not_come_ends_in_a_typed_failure(world: World) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]
    where = path(ask(world, image_id))
    world.search_next()
    failed = world.client.get(where).json
    assert (failed["status"], failed["error"]["code"]) == ("failed", "embedding-pending")
    assert "no worker of fake is alive" in failed["error"]["detail"]
    world.encode_next()
    assert ask(world, image_id).json["status"] == "queued"  # asking again is another try
    world.search_next()
    assert world.client.get(where).json["status"] == "done"


def test_an_image_whose_bytes_and_embedding_are_gone_has_expired(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))
    world.store.delete(EmbeddingKey.of(image_id, FAKE).redis_key)
    world.store.delete(image_key(image_id))
    world.queue.forget(EmbeddingKey.of(image_id, FAKE))
    refused = ask(world, image_id)
    assert (refused.status_code, refused.json["code"]) == (410, "image-expired")
    world.search_next()
    assert world.client.get(where).json["error"]["code"] == "image-expired"


def test_an_image_that_cannot_be_encoded_has_no_masks(world: World) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]
    where = path(ask(world, image_id))

    def fail(key: EmbeddingKey) -> None:
        raise InvalidImage("it is cut off")

    world.queue.run_next(fail)
    world.search_next()
    assert world.client.get(where).json["error"] == {"code": "invalid-image", "detail": "it is cut off"}
    refused = ask(world, image_id)
    assert (refused.status_code, refused.json["code"]) == (422, "invalid-image")


def test_a_full_queue_refuses_and_queues_nothing(make_world: Callable[..., World]) -> None:
    world = make_world(max_everything=1)
    one, two = world.ready_image(png()), world.ready_image(png(60, 60))
    assert ask(world, one).status_code == 202
    refused = ask(world, two)
    assert (refused.status_code, refused.json["code"]) == (503, "overloaded")
    assert "Retry-After" in refused.headers
    assert ask(world, one).status_code == 202  # it joins


def test_a_job_that_the_queue_lost_is_queued_again_by_who_looks(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))
    world.jobs.forget(key_of(image_id))
    assert world.client.get(where).json["status"] == "queued"
    world.search_next()
    assert world.client.get(where).json["status"] == "done"


def test_masks_that_were_evicted_are_found_again(world: World) -> None:
    image_id = world.ready_image(png())
    answer = ask(world, image_id)
    world.search_next()
    masks = world.client.get(path(answer)).json["masks"]
    world.store.delete(key_of(image_id).result_key)
    world.jobs.forget(key_of(image_id))  # the queue remembers a finished job for seconds only
    assert world.client.get(path(answer)).json["status"] == "queued"
    world.search_next()
    assert world.client.get(path(answer)).json["masks"] == masks


@pytest.mark.parametrize("place", [0, 12, 200, -1])
def test_damaged_masks_are_never_answered(world: World, place: int) -> None:
    image_id = world.ready_image(png())
    answer = ask(world, image_id)
    world.search_next()
    key = key_of(image_id)
    value = bytearray(world.store.get(key.result_key) or b"")
    value[place] ^= 1
    world.store.put(key.result_key, bytes(value), 60)
    world.jobs.forget(key)
    assert world.client.get(path(answer)).json["status"] == "queued"
    assert not world.store.exists(key.result_key)


def test_masks_of_another_job_are_never_answered(world: World) -> None:
    image_id = world.ready_image(png())
    ask(world, image_id)
    world.search_next()
    value = world.store.get(key_of(image_id).result_key)
    assert value is not None
    other = FEW | {"points_per_side": 3}
    answer = ask(world, image_id, other)
    world.store.put(key_of(image_id, other).result_key, value, 60)
    assert world.client.get(path(answer)).json["status"] == "queued"


class Watched:
    """Runs a job up to its first report, looks, and goes on."""

    def __init__(self, world: World, look: Callable[[], None]) -> None:
        self._world = world
        self._look = look

    def run(self) -> None:
        search = self._world.search()
        events = self._world.events
        publish = events.publish
        seen: list[str] = []

        def watched(key: Any, status: Any) -> None:
            publish(key, status)
            seen.append(status)
            if seen == ["progress", "progress"]:  # the first one tells that the job began
                seen.append("looked")
                self._look()

        self._world.jobs.run_next(replace(search, events=_Events(events, watched)))
        assert "looked" in seen


class _Events:
    def __init__(self, events: Any, publish: Callable[[Any, Any], None]) -> None:
        self.watch, self.ping, self.publish = events.watch, events.ping, publish


def test_a_running_job_tells_its_progress_and_the_masks_so_far(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))
    seen: list[Any] = []
    Watched(world, lambda: seen.append(world.client.get(where).json)).run()
    (running,) = seen
    assert running["status"] == "running"
    assert 0 < running["progress"] < 1
    assert running["found"] == len(running["masks"])
    assert world.client.get(where).json["status"] == "done"


def test_a_running_job_that_is_stopped_ends_and_leaves_nothing(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id, FEW | {"points_per_side": 32}))
    Watched(world, lambda: world.client.delete(where)).run()
    stopped = world.client.get(where).json
    assert (stopped["status"], stopped["found"], stopped["masks"]) == ("stopped", 0, [])
    key = key_of(image_id, FEW | {"points_per_side": 32})
    assert not world.store.exists(key.result_key)
    assert world.jobs.state(key).status is JobStatus.ABSENT


def test_a_job_whose_image_is_deleted_ends_and_leaves_nothing(world: World) -> None:
    image_id = world.ready_image(png())
    ask(world, image_id, FEW | {"points_per_side": 32})
    key = key_of(image_id, FEW | {"points_per_side": 32})
    Watched(world, lambda: world.client.delete(f"/v1/images/{image_id}")).run()
    for name in (key.result_key, key.progress_key, key.asked_key, jobs_key(image_id)):
        assert not world.store.exists(name)
    assert world.client.get(f"/v1/images/{image_id}/everything/{key.name}").json["code"] == "image-not-found"


def test_masks_stored_at_the_moment_of_a_stop_are_deleted(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))
    search = world.search()

    class StopsAtTheEnd:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        def put(self, key: str, value: bytes, ttl: int) -> None:
            if key == key_of(image_id).result_key:
                world.client.delete(where)
            world.store.put(key, value, ttl)

    world.jobs.run_next(replace(search, store=StopsAtTheEnd()))
    assert not world.store.exists(key_of(image_id).result_key)
    assert world.client.get(where).json["status"] == "stopped"


def test_progress_told_at_the_moment_of_a_stop_is_deleted(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))
    told: list[str] = []

    class StopsInTheMiddle:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        def put(self, key: str, value: bytes, ttl: int) -> None:
            assert key == key_of(image_id).progress_key
            world.client.delete(where)
            world.store.put(key, value, ttl)
            told.append(key)

    world.jobs.run_next(replace(world.search(), hasty=StopsInTheMiddle()))
    assert told
    assert not world.store.exists(key_of(image_id).progress_key)


def test_a_stopped_job_is_not_run_and_can_be_asked_for_again(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))
    assert world.client.delete(where).status_code == 204
    assert world.client.get(where).json["status"] == "stopped"
    with pytest.raises(IndexError):
        world.search_next()
    assert ask(world, image_id).status_code == 202
    world.search_next()
    assert world.client.get(where).json["status"] == "done"


def test_a_job_that_is_done_can_be_deleted(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))
    world.search_next()
    assert world.client.delete(where).status_code == 204
    assert not world.store.exists(key_of(image_id).result_key)
    assert world.client.get(where).json["status"] == "stopped"


def test_a_deleted_image_leaves_no_masks(world: World) -> None:
    image_id = world.ready_image(png())
    ask(world, image_id)
    world.search_next()
    ask(world, image_id, FEW | {"mode": "fast"})
    assert world.client.delete(f"/v1/images/{image_id}").status_code == 204
    for options in (FEW, FEW | {"mode": "fast"}):
        key = key_of(image_id, options)
        assert world.jobs.state(key).status is JobStatus.ABSENT
        for name in (key.result_key, key.asked_key):
            assert not world.store.exists(name)
    with pytest.raises(IndexError):
        world.search_next()


def test_a_job_of_other_weights_is_refused_by_the_mask_worker(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))
    other = world.search(replace(FAKE, name="fake", stretch=True))
    for _ in range(3):
        world.jobs.run_next(other)
    failed = world.client.get(where).json
    assert (failed["status"], failed["error"]["code"]) == ("failed", "everything-failed")
    assert "other weights" in failed["error"]["detail"]
    again = ask(world, image_id)
    assert again.json["status"] == "queued"


def test_a_failure_is_told_to_who_waits_for_it(world: World) -> None:
    image_id = world.ready_image(png())

    def fail(key: EverythingKey) -> None:
        raise EverythingFailed("it is too hard")

    where = path(ask(world, image_id))
    for _ in range(3):
        world.jobs.run_next(fail)
    assert world.client.get(where).json["error"] == {"code": "everything-failed", "detail": "it is too hard"}


def test_the_events_end_with_the_job(world: World) -> None:
    image_id = world.ready_image(png())
    answer = ask(world, image_id)
    stream = iter(world.client.get(answer.json["links"]["events"]).response)

    def next_event() -> tuple[str, dict[str, Any]]:
        while True:
            text = next(stream).decode()  # type: ignore[union-attr]
            if "data: " in text:
                return text.partition("event: ")[2].partition("\n")[0], json.loads(text.partition("data: ")[2])

    name, body = next_event()
    assert (name, body["status"]) == ("queued", "queued")
    assert "masks" not in body
    world.search_next()
    name, body = next_event()
    assert (name, body["progress"]) == ("done", 1.0)
    assert body["found"] > 0
    with pytest.raises(StopIteration):
        next_event()


def test_a_request_waits_for_the_end_of_the_job(world: World) -> None:
    image_id = world.ready_image(png())
    finished: list[int] = []
    watch = world.events.watch

    def finishing(key: Any) -> Any:
        if not finished and key == key_of(image_id):
            finished.append(1)
            world.search_next()
        return watch(key)

    world.events.watch = finishing  # type: ignore[method-assign]
    answer = ask(world, image_id, query="?wait=30")
    assert (answer.status_code, answer.json["status"]) == (200, "done")


def test_without_mask_workers_everybody_says_so(world: World) -> None:
    names = {queue_name(model.name, model.weights_digest): 1 for model in (FAKE, OTHER)}
    masks = {everything_queue(model.name, model.weights_digest): 1 for model in (FAKE, OTHER)}
    world.queue.workers = {**names, **masks, everything_queue(FAKE.name, FAKE.weights_digest): 0}
    world.services.workers.look()
    ready = world.client.get("/readyz")
    assert (ready.status_code, ready.json["degraded"]) == (200, ["mask workers of fake"])
    assert ready.json["checks"]["mask workers of fake"] == "no mask worker is alive: everything jobs wait"
    assert world.client.get("/v1/models/fake").json["mask_workers"] == 0
    assert world.client.get("/v1/models/other").json["mask_workers"] == 1
    assert ask(world, world.ready_image(png())).json["workers"] == 0


def test_while_redis_is_away_nothing_is_acknowledged(world: World) -> None:
    image_id = world.ready_image(png())

    def away(key: EverythingKey) -> bool:
        raise StoreUnavailable("Redis is away", retry_after=1)

    world.jobs.submit = away  # type: ignore[method-assign]
    answer = ask(world, image_id)
    assert (answer.status_code, answer.json["code"]) == (503, "store-unavailable")


def test_progress_that_cannot_be_stored_costs_no_job(world: World) -> None:
    image_id = world.ready_image(png())
    where = path(ask(world, image_id))

    class Away:
        def put(self, key: str, value: bytes, ttl: int) -> None:
            raise StoreUnavailable("the cache is away")

        def exists(self, key: str) -> bool:
            return True

    search: SearchImage = replace(world.search(), hasty=Away())
    world.jobs.run_next(search)
    assert world.client.get(where).json["status"] == "done"


def test_jobs_of_crops_use_the_embeddings_of_regions(world: World) -> None:
    image_id = world.ready_image(png(480, 320))
    options = FEW | {"crop_n_layers": 1}
    where = path(ask(world, image_id, options))
    world.search_next()  # the regions are not there, and its patience is 0
    assert world.client.get(where).json["error"]["code"] == "embedding-pending"
    for _ in range(4):
        world.encode_next()
    assert ask(world, image_id, options).status_code == 202
    world.search_next()
    done = world.client.get(where).json
    assert done["status"] == "done"
    boxes = {tuple(mask["crop_box"]) for mask in done["masks"]}
    assert len(boxes) > 1


def test_a_job_belongs_to_those_who_have_the_image(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS)
    alice, bob = Tenant(world, ALICE_READS), Tenant(world, BOB)
    image_id = Tenant(world, ALICE).ready(png())
    asked = alice("POST", f"/v1/images/{image_id}/everything", json=FEW)
    assert asked.status_code == 202  # a token that may prompt may ask for every mask
    for method in ("GET", "DELETE"):
        assert bob(method, path(asked)).json["code"] == "image-not-found"
    assert bob("POST", f"/v1/images/{image_id}/everything", json=FEW).json["code"] == "image-not-found"
    assert world.client.get(path(asked)).json["code"] == "unauthorized"
    bob.upload(png())
    assert bob("POST", f"/v1/images/{image_id}/everything", json=FEW).json["job"] == asked.json["job"]
    assert alice("DELETE", path(asked)).status_code == 204
    assert bob("GET", path(asked)).json["status"] == "queued"  # bob still wants it
    assert bob("DELETE", path(asked)).status_code == 204
    assert bob("GET", path(asked)).json["status"] == "stopped"


def test_jobs_count_as_uploads_do(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS, rate_limit_uploads="3/hour")
    alice = Tenant(world, ALICE)
    image_id = alice.ready(png())
    for _ in range(2):
        assert alice("POST", f"/v1/images/{image_id}/everything", json=FEW).status_code == 202
    assert alice("POST", f"/v1/images/{image_id}/everything", json=FEW).json["code"] == "rate-limited"
    assert alice("GET", f"/v1/images/{image_id}/everything/{key_of(image_id).name}").status_code == 200
