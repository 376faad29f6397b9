"""Upload, status, events, embedding, delete."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from threading import Thread

import numpy as np
import pytest

from shared.contract.errors import EncodeFailed, InvalidImage
from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import FAKE
from shared.queue.interface import JobState, JobStatus
from tests.support.world import OTHER, World, png


def test_an_upload_is_named_after_its_hash_and_queued(world: World) -> None:
    data = png(120, 80)
    answer = world.client.post("/v1/images", data=data)
    assert answer.status_code == 202
    image_id = hashlib.sha256(data).hexdigest()
    assert answer.json == {
        "image_id": image_id,
        "model": "fake",
        "region": None,
        "status": "queued",
        "width": 120,
        "height": 80,
        "queue_position": 0,
        "workers": None,
        "error": None,
        "links": {
            "self": f"/v1/images/{image_id}?model=fake",
            "masks": f"/v1/images/{image_id}/masks?model=fake",
            "embedding": f"/v1/images/{image_id}/embedding?model=fake",
            "events": f"/v1/images/{image_id}/events?model=fake",
        },
    }
    assert answer.headers["Location"] == f"/v1/images/{image_id}?model=fake"
    assert int(answer.headers["Retry-After"]) >= 1


def test_an_upload_through_a_form_is_the_same_image(world: World) -> None:
    data = png()
    raw = world.client.post("/v1/images", data=data)
    form = world.client.post("/v1/images", data={"image": (io.BytesIO(data), "photo.png")})
    assert form.json == raw.json


def test_the_second_upload_of_an_encoded_image_is_ready_at_once(world: World) -> None:
    world.ready_image(png())
    answer = world.client.post("/v1/images", data=png())
    assert answer.status_code == 200
    assert answer.json["status"] == "ready"
    assert len(world.encodes) == 1


def test_uploads_of_one_new_image_share_one_encoding(world: World) -> None:
    for _ in range(5):
        assert world.client.post("/v1/images", data=png()).status_code == 202
    world.encode_next()
    with pytest.raises(IndexError):
        world.encode_next()


def test_each_model_has_its_own_embedding(world: World) -> None:
    image_id = world.ready_image(png())
    assert world.client.get(f"/v1/images/{image_id}?model=other").json["status"] == "queued"
    world.encode_next()
    assert [key.model for key in world.encodes] == ["fake", "other"]


def test_waiting_ends_when_the_worker_is_done(world: World) -> None:
    answers = []
    thread = Thread(target=lambda: answers.append(world.client.post("/v1/images?wait=20", data=png())))
    thread.start()
    key = EmbeddingKey.of(hashlib.sha256(png()).hexdigest(), FAKE)
    while world.queue.state(key).position != 0:
        pass
    world.encode_next()
    world.events.publish(key, "ready")
    thread.join(60)
    assert answers[0].status_code == 200
    assert answers[0].json["status"] == "ready"


@pytest.mark.parametrize("wait", ["-1", "31", "soon", "nan", "inf", "", " 1", "1_0", "٣"])
def test_a_wait_outside_its_range_is_refused(world: World, wait: str) -> None:
    answer = world.client.post(f"/v1/images?wait={wait}", data=png())
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-parameter")


def test_waiting_never_takes_the_last_thread(make_world: Callable[..., World]) -> None:
    world = make_world(api_threads=2)
    with world.services.waiters:
        answer = world.client.post("/v1/images?wait=30", data=png())
    assert answer.status_code == 202


def test_the_image_resource_answers_head_too(world: World) -> None:
    image_id = world.ready_image(png())
    assert world.client.head(f"/v1/images/{image_id}").status_code == 200
    assert world.client.head(f"/v1/images/{'0' * 64}").status_code == 404


def test_a_failure_is_shown_and_an_upload_answered_with_it(world: World) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]

    def encode(key: EmbeddingKey) -> None:
        raise InvalidImage("broken data in row 7")

    world.queue.run_next(encode)
    shown = world.client.get(f"/v1/images/{image_id}")
    assert shown.status_code == 200
    assert shown.json["status"] == "failed"
    assert shown.json["error"] == {"code": "invalid-image", "detail": "broken data in row 7"}
    for answer in (
        world.client.post("/v1/images", data=png()),
        world.client.post(f"/v1/images/{image_id}/masks", json={"prompts": [{"points": [[1, 1]], "labels": [1]}]}),
        world.client.get(f"/v1/images/{image_id}/embedding"),
    ):
        assert (answer.status_code, answer.json["code"]) == (422, "invalid-image")


def test_uploading_again_retries_what_the_service_failed_at(world: World) -> None:
    world.client.post("/v1/images", data=png())

    def encode(key: EmbeddingKey) -> None:
        raise EncodeFailed("out of memory")

    for _ in range(3):
        world.queue.run_next(encode)
    answer = world.client.post("/v1/images", data=png())
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    world.encode_next()
    assert world.client.post("/v1/images", data=png()).status_code == 200


def test_a_lost_embedding_is_encoded_again_from_the_kept_bytes(world: World) -> None:
    image_id = world.ready_image(png())
    key = EmbeddingKey.of(image_id, FAKE)
    world.store.delete(key.redis_key)
    world.queue.forget(key)
    assert world.client.get(f"/v1/images/{image_id}").json["status"] == "queued"
    world.encode_next()
    assert world.client.get(f"/v1/images/{image_id}").json["status"] == "ready"


@pytest.mark.parametrize(
    "record", [b'{"width":12,"hei\x87ht":8}', b'{"width":12}', b"[1]", b'{"width":null,"height":8}']
)
def test_an_image_with_a_damaged_record_is_unknown_until_the_next_upload(world: World, record: bytes) -> None:
    image_id = world.ready_image(png())
    world.store.put(record_key(image_id), record, 60)
    assert world.client.get(f"/v1/images/{image_id}").status_code == 404
    assert world.client.post("/v1/images", data=png()).status_code == 200
    assert world.client.get(f"/v1/images/{image_id}").status_code == 200


def test_an_image_whose_bytes_and_embedding_are_gone_has_expired(world: World) -> None:
    image_id = world.ready_image(png())
    key = EmbeddingKey.of(image_id, FAKE)
    world.store.delete(key.redis_key)
    world.store.delete(image_key(image_id))
    world.queue.forget(key)
    answer = world.client.get(f"/v1/images/{image_id}")
    assert (answer.status_code, answer.json["code"]) == (410, "image-expired")
    assert world.client.post("/v1/images", data=png()).status_code == 202


def test_a_deleted_image_leaves_nothing(world: World) -> None:
    image_id = world.ready_image(png())
    prompt = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}
    assert world.client.post(f"/v1/images/{image_id}/masks", json=prompt).status_code == 200
    assert world.client.delete(f"/v1/images/{image_id}").status_code == 204
    assert not world.store.exists(image_key(image_id))
    assert not world.store.exists(record_key(image_id))
    assert not world.store.exists(EmbeddingKey.of(image_id, FAKE).redis_key)
    assert ((image_id, "fake", ""), "deleted") in world.events.published
    for answer in (
        world.client.get(f"/v1/images/{image_id}"),
        world.client.post(f"/v1/images/{image_id}/masks", json=prompt),
        world.client.delete(f"/v1/images/{image_id}"),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "image-not-found")


def test_deleting_a_waiting_image_takes_it_out_of_the_queue(world: World) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]
    world.client.delete(f"/v1/images/{image_id}")
    with pytest.raises(IndexError):
        world.encode_next()


def test_the_embedding_is_a_float16_npy_that_never_changes(world: World) -> None:
    image_id = world.ready_image(png())
    answer = world.client.get(f"/v1/images/{image_id}/embedding")
    array = np.load(io.BytesIO(answer.data), allow_pickle=False)
    assert (array.shape, array.dtype) == ((1, 256, 64, 64), np.float16)
    assert "immutable" in answer.headers["Cache-Control"]
    etag = answer.headers["ETag"]
    assert not etag.startswith("W/")
    again = world.client.get(f"/v1/images/{image_id}/embedding", headers={"If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")


def test_a_pending_embedding_says_when_to_ask_again(world: World) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]
    answer = world.client.get(f"/v1/images/{image_id}/embedding")
    assert (answer.status_code, answer.json["code"]) == (409, "embedding-pending")
    assert answer.headers["Retry-After"] == "1"


def test_events_tell_each_change_and_end_with_ready(world: World) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]
    answer = world.client.get(f"/v1/images/{image_id}/events", buffered=False)
    assert answer.content_type.startswith("text/event-stream")
    chunks = (chunk.decode() for chunk in answer.response)
    assert "event: queued" in next(chunks)
    world.encode_next()
    world.events.publish(EmbeddingKey.of(image_id, FAKE), "ready")
    *_, last = list(chunks)
    name, data = last.strip().split("\n")
    assert name == "event: ready"
    assert json.loads(data.removeprefix("data: "))["status"] == "ready"


def test_events_of_an_unknown_image_are_a_problem(world: World) -> None:
    answer = world.client.get(f"/v1/images/{'0' * 64}/events")
    assert (answer.status_code, answer.json["code"]) == (404, "image-not-found")


def test_models_are_listed_with_the_default_first(world: World) -> None:
    models = world.client.get("/v1/models").json["models"]
    assert [(model["name"], model["default"]) for model in models] == [("fake", True), (OTHER.name, False)]
    assert models[0]["embedding"]["shape"] == [1, 256, 64, 64]
    assert len(models[0]["weights_digest"]) == 64


RECORDS = {
    "endless": b'{"width": 1e400, "height": 80}',
    "fraction": b'{"width": 120.5, "height": 80}',
    "truth": b'{"width": true, "height": true}',
    "text": b'{"width": "120", "height": "80"}',
    "nested deep": b'{"width": ' + b"[" * 100_000,
    "5000 digits": b'{"width": ' + b"9" * 5_000 + b', "height": 80}',
    "nothing": b'{"width": 0, "height": 80}',
    "negative": b'{"width": -120, "height": -80}',
    "more pixels than are accepted": b'{"width": 40000, "height": 40000}',
    "a side that is too long": b'{"width": 65536, "height": 1}',
    "a list": b"[120, 80]",
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_that_no_api_wrote_is_an_unknown_image_until_the_next_upload(world: World, record: bytes) -> None:
    data = png()
    image_id = world.ready_image(data)
    world.store.put(record_key(image_id), record, 60)
    answers = [
        world.client.get(f"/v1/images/{image_id}"),
        world.client.get(f"/v1/images/{image_id}/events"),
        world.client.get(f"/v1/images/{image_id}?model=other&wait=0.01"),
    ]
    assert [(answer.status_code, answer.get_json()["code"]) for answer in answers] == [(404, "image-not-found")] * 3
    assert world.client.post("/v1/images?model=fake", data=data).status_code == 200


def test_a_lack_of_memory_at_the_worker_is_passing(world: World) -> None:
    data = png()
    image_id = hashlib.sha256(data).hexdigest()
    assert world.client.post("/v1/images?model=fake", data=data).status_code == 202
    key = EmbeddingKey.of(image_id, FAKE)
    failed = JobState(JobStatus.FAILED, error_code="overloaded", error_detail="a worker ran out of memory")
    world.queue._states[key] = failed
    world.queue._waiting.clear()
    shown = world.client.get(f"/v1/images/{image_id}?model=fake")
    assert (shown.get_json()["status"], shown.get_json()["error"]["code"]) == ("failed", "overloaded")
    asked = world.client.post(f"/v1/images/{image_id}/masks?model=fake", json={"prompts": [{"box": [1, 2, 3, 4]}]})
    assert (asked.status_code, asked.headers["Retry-After"]) == (503, "10")
    assert world.client.post("/v1/images?model=fake", data=data).get_json()["status"] == "queued"


def test_a_request_that_finds_no_memory_is_refused_as_overloaded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("prompt_api.service.images.inspect_image", no_memory)
    answer = world.client.post("/v1/images?model=fake", data=png())
    assert (answer.status_code, answer.get_json()["code"]) == (503, "overloaded")
    assert answer.headers["Retry-After"] == "1"
