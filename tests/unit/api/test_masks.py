"""Prompts over HTTP: formats, batches, refinement, and refusals."""

from __future__ import annotations

import base64
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from prompt_api.metrics.timing import STAGES
from prompt_api.models.fake.decoder import FakeDecoder
from prompt_api.models.interface import DecodedMasks
from prompt_api.service import resolving, tokens
from prompt_api.service.masks import MaskAnswer
from prompt_api.service.prompts import ImagePrompt, MasksQuery
from prompt_api.service.refinement import Refinement
from prompt_api.service.tokens import recipe_tokens
from prompt_api.wire.requests import PromptInput
from shared.contract.errors import InvalidPrompt, StoreUnavailable
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE
from shared.observe.stages import Stages
from shared.tensors.envelope import ValueKind, seal, unseal
from tests.support.world import OTHER, World, png

CLICK = {"points": [[40, 30]], "labels": [1]}


def prompt(world: World, image_id: str, body: Any, query: str = "") -> Any:
    return world.client.post(f"/v1/images/{image_id}/masks{query}", json=body)


def decoded(mask: dict[str, Any]) -> np.ndarray:
    rle = mask["rle"]
    return coco.decode({"size": rle["size"], "counts": rle["counts"].encode()}).astype(bool)


def test_a_click_is_answered_with_three_scored_masks(world: World) -> None:
    image_id = world.ready_image(png(120, 80))
    answer = prompt(world, image_id, {"prompts": [CLICK]})
    assert answer.status_code == 200
    assert {key: answer.json[key] for key in ("image_id", "model", "width", "height")} == {
        "image_id": image_id,
        "model": "fake",
        "width": 120,
        "height": 80,
    }
    (result,) = answer.json["results"]
    assert len(result["masks"]) == 3
    for mask in result["masks"]:
        assert set(mask) == {"score", "area", "bbox", "rle", "mask_token"}
        bitmap = decoded(mask)
        assert bitmap.shape == (80, 120)
        assert bitmap.sum() == mask["area"]
    assert decoded(result["masks"][0])[30, 40]


DOCUMENTED = ["fetch", "prepare", "decode", "encode"]


def test_the_stages_of_the_answer_are_timed(world: World) -> None:
    image_id = world.ready_image(png())
    header = prompt(world, image_id, {"prompts": [CLICK]}).headers["Server-Timing"]
    shown = [part.split(";dur=")[0] for part in header.split(", ")]
    assert [stage for stage in shown if stage in DOCUMENTED] == DOCUMENTED
    assert shown == [stage for stage in STAGES if stage in shown]
    assert all(float(part.split(";dur=")[1]) >= 0 for part in header.split(", "))


def test_without_multimask_there_is_one_mask(world: World) -> None:
    image_id = world.ready_image(png())
    answer = prompt(world, image_id, {"prompts": [CLICK], "multimask": False})
    assert len(answer.json["results"][0]["masks"]) == 1


def test_a_batch_answers_each_prompt_as_if_it_were_alone(world: World) -> None:
    image_id = world.ready_image(png())
    prompts = [CLICK, {"box": [5, 5, 60, 40]}, {"points": [[100, 70], [10, 10]], "labels": [1, 0]}]
    batch = prompt(world, image_id, {"prompts": prompts}).json["results"]
    alone = [prompt(world, image_id, {"prompts": [one]}).json["results"][0] for one in prompts]
    assert batch == alone


def test_every_format_shows_the_same_mask(world: World) -> None:
    image_id = world.ready_image(png())
    masks = {
        name: prompt(world, image_id, {"prompts": [CLICK], "format": name}).json["results"][0]["masks"][0]
        for name in ("rle", "png", "polygons", "logits")
    }
    assert len({(mask["area"], tuple(mask["bbox"])) for mask in masks.values()}) == 1
    for name, mask in masks.items():
        assert name in mask
    raw = np.frombuffer(base64.b64decode(masks["logits"]["logits"]), "<f2")
    assert raw.size == 256 * 256


@pytest.mark.parametrize("form", ["rle", "png", "polygons", "logits"])
def test_logits_come_beside_any_format(world: World, form: str) -> None:
    image_id = world.ready_image(png())
    asked = {"prompts": [CLICK], "format": form}
    alone = prompt(world, image_id, asked).json["results"][0]["masks"]
    both = prompt(world, image_id, {**asked, "logits": True}).json["results"][0]["masks"]
    logits = prompt(world, image_id, {"prompts": [CLICK], "format": "logits"}).json["results"][0]["masks"]
    assert both == [mask | {"logits": other["logits"]} for mask, other in zip(alone, logits, strict=True)]


def test_a_mask_is_refined_by_its_token(world: World) -> None:
    image_id = world.ready_image(png())
    first = prompt(world, image_id, {"prompts": [CLICK]}).json["results"][0]["masks"][0]
    refined = {**CLICK, "mask_token": first["mask_token"]}
    answer = prompt(world, image_id, {"prompts": [refined], "multimask": False})
    assert answer.status_code == 200, answer.text
    assert answer.json["results"][0]["masks"][0]["mask_token"] != first["mask_token"]


def test_a_token_works_on_a_replica_that_never_saw_it(make_world: Callable[..., World]) -> None:
    here = make_world()
    there = make_world(store=here.store)
    image_id = here.ready_image(png())
    token = prompt(here, image_id, {"prompts": [CLICK]}).json["results"][0]["masks"][1]["mask_token"]
    kinds = set()
    for step in range(6):  # past the depth at which logits are stored instead of computed again
        kinds.add(token[0])
        body = {"prompts": [{"points": [[50 + step, 30]], "labels": [step % 2], "mask_token": token}]}
        ours, theirs = (prompt(replica, image_id, body).json["results"][0]["masks"] for replica in (here, there))
        assert [(mask["area"], mask["rle"]) for mask in theirs] == [(mask["area"], mask["rle"]) for mask in ours]
        there.services.masks.forget(image_id)
        token = ours[1]["mask_token"]
    assert kinds == {"r", "s"}


def test_a_turn_too_long_for_its_tokens_is_refused_and_goes_on_when_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = world.ready_image(png())
    token = prompt(world, image_id, {"prompts": [CLICK]}).json["results"][0]["masks"][0]["mask_token"]
    body = {"prompts": [{**CLICK, "mask_token": token}]}
    world.services.masks.forget(image_id)
    with monkeypatch.context() as slow:
        slow.setattr(resolving, "LONGEST_TURN", -1.0)
        refused = prompt(world, image_id, body)
        assert (refused.status_code, refused.json["code"], refused.headers["Retry-After"]) == (503, "overloaded", "1")
    answer = prompt(world, image_id, body)
    assert answer.status_code == 200, answer.text
    monkeypatch.setattr(resolving, "LONGEST_TURN", -1.0)  # the API now remembers the logits of the token
    again = prompt(world, image_id, body)
    assert again.json == answer.json


class WatchedDecoder(FakeDecoder):
    """Notes how many prompts the requests had that it decoded for, and calls `begun` before each prompt."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.begun: Callable[[], None] = lambda: None

    def decode(self, image: Any, prompts: Any, *, multimask: bool, padding: bool = True) -> Iterator[DecodedMasks]:
        for masks in super().decode(image, prompts, multimask=multimask, padding=padding):
            self.order.append(len(prompts))
            self.begun()
            yield masks


def test_a_large_batch_gives_way_to_another_client_between_its_prompts(make_world: Callable[..., World]) -> None:
    decoder = WatchedDecoder()
    world = make_world(decoder=decoder, decoder_threads=1000)  # so one request decodes at a time
    image_id = world.ready_image(png())
    begun, may_go_on = threading.Event(), threading.Event()

    def stop_at_the_first() -> None:
        if len(decoder.order) == 1:
            begun.set()
            assert may_go_on.wait(30)

    decoder.begun = stop_at_the_first
    statuses: list[int] = []

    def ask(address: str, prompts: int) -> None:
        client = world.client.application.test_client()
        body = {"prompts": [CLICK] * prompts}
        answer = client.post(f"/v1/images/{image_id}/masks", json=body, environ_base={"REMOTE_ADDR": address})
        statuses.append(answer.status_code)

    heavy = [threading.Thread(target=ask, args=("10.0.0.1", 5))]
    heavy[0].start()
    assert begun.wait(30)
    heavy.append(threading.Thread(target=ask, args=("10.0.0.1", 6)))
    light = threading.Thread(target=ask, args=("10.0.0.2", 1))
    for waiting, thread in ((1, heavy[1]), (2, light)):
        thread.start()
        wait_until(lambda waiting=waiting: world.services.masks.waiting == waiting)
    may_go_on.set()
    for thread in (*heavy, light):
        thread.join(30)
    assert statuses == [200, 200, 200]
    assert decoder.order.index(1) <= 2, decoder.order  # after one prompt of each of the other two
    assert sorted(decoder.order) == [1, *[5] * 5, *[6] * 6]


def test_masks_are_written_as_soon_as_their_prompt_is_decoded(make_world: Callable[..., World]) -> None:
    decoder = WatchedDecoder()
    world = make_world(decoder=decoder)
    image_id = world.ready_image(png())
    decoded_before: list[int] = []

    class Writer:
        def begin(self, key: EmbeddingKey, original: Size) -> None:
            assert (key.image_id, original) == (image_id, (80, 120))

        def add(self, prompt: int, mask: MaskAnswer) -> None:
            decoded_before.append(len(decoder.order))

    query = MasksQuery((ImagePrompt(points=((40.0, 30.0),), labels=(1,)),) * 3)
    world.services.masks.write_answer(Writer(), image_id, FAKE, query, wait=0.0, timings=Stages())
    assert decoded_before == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_stored_token_ends_with_its_logits(world: World) -> None:
    image_id = world.ready_image(png())
    logits = base64.b64encode(np.full((256, 256), 3, "<f2").tobytes()).decode()
    mask = prompt(world, image_id, {"prompts": [{"mask_logits": logits}]}).json["results"][0]["masks"][0]
    world.services.masks.forget(image_id)
    for key in [key for key in world.store.names() if key.startswith("sam:logits:")]:
        world.store.delete(key)
    answer = prompt(world, image_id, {"prompts": [{"mask_token": mask["mask_token"]}]})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")
    assert "expired" in answer.json["detail"]


def test_stored_logits_of_a_namespace_have_bounded_room_and_the_oldest_go(make_world: Callable[..., World]) -> None:
    room = 2 * 1024 * 1024
    world = make_world(logits_lru_bytes=room)
    image_id = world.ready_image(png())
    kept = sorted(world.store.names())
    many = {"points": [[40, 30]] * 33, "labels": [1] * 33}  # too many for a token that carries its prompt
    tokens = [
        mask["mask_token"]
        for _ in range(10)
        for mask in prompt(world, image_id, {"prompts": [many], "multimask": False}).json["results"][0]["masks"]
    ]
    assert {token[0] for token in tokens} == {"s"}
    for _ in range(10):
        prompt(world, image_id, {"prompts": [many]})
    names = world.store.names()
    values = [world.store.get(name) for name in names if name.startswith("sam:logits:")]
    assert room * 3 // 4 < sum(len(value) for value in values if value is not None) <= room
    assert sorted(name for name in names if not name.startswith("sam:logits")) == kept
    newest = prompt(world, image_id, {"prompts": [many]}).json["results"][0]["masks"][0]["mask_token"]
    world.services.masks.forget(image_id)
    for token, status in ((tokens[0], 422), (newest, 200)):
        assert prompt(world, image_id, {"prompts": [{**CLICK, "mask_token": token}]}).status_code == status


def test_stored_logits_of_one_namespace_leave_those_of_another(make_world: Callable[..., World]) -> None:
    world = make_world(logits_lru_bytes=0)
    image_id = world.ready_image(png())
    key = EmbeddingKey.of(image_id, FAKE)
    refinement = Refinement(store=world.store, capacity=0, ttl=60, changed=lambda _: None)
    answer = DecodedMasks(np.zeros((3, 256, 256), np.float32), np.ones(3, np.float32))
    deep = ImagePrompt(mask_logits=answer.logits[0])

    def issue(namespace: str) -> str:
        issued = refinement.issue(deep, key, answer, multimask=True, whole=False, namespace=namespace)
        issued.keep()
        return issued.tokens[0]

    def resolve(token: str, namespace: str) -> object:
        return refinement.resolve(token, key, no_decoding, side=256, nesting=1, namespace=namespace)

    def no_decoding(*_: object) -> DecodedMasks:
        raise AssertionError("stored logits are not decoded")

    mine, first_of_others = issue("mine"), issue("others")
    for _ in range(20):
        issue("others")
    resolve(mine, "mine")
    with pytest.raises(InvalidPrompt, match="expired"):
        resolve(first_of_others, "others")


def test_mask_logits_refine_like_the_token_they_came_with(world: World) -> None:
    image_id = world.ready_image(png())
    first = prompt(world, image_id, {"prompts": [CLICK], "format": "logits"}).json["results"][0]["masks"][0]
    by_token, by_logits = (
        prompt(world, image_id, {"prompts": [{**CLICK, **more}]}).json["results"][0]["masks"]
        for more in ({"mask_token": first["mask_token"]}, {"mask_logits": first["logits"]})
    )
    for one, other in zip(by_token, by_logits, strict=True):
        assert abs(one["area"] - other["area"]) <= 0.01 * max(one["area"], 1)
    again = prompt(world, image_id, {"prompts": [{"mask_token": by_logits[0]["mask_token"]}]})
    assert again.status_code == 200, again.text


def test_a_token_of_another_image_or_model_is_refused(world: World) -> None:
    image_id, other_id = world.ready_image(png()), world.ready_image(png(colour=(1, 250, 1)))
    token = prompt(world, image_id, {"prompts": [CLICK]}).json["results"][0]["masks"][0]["mask_token"]
    world.ready_image(png(colour=(9, 9, 9)), OTHER)
    world.client.get(f"/v1/images/{image_id}?model=other")
    world.encode_next()
    for where in (f"{other_id}/masks", f"{image_id}/masks?model=other"):
        answer = world.client.post(f"/v1/images/{where}", json={"prompts": [{"mask_token": token}]})
        assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")
        assert "another image or model" in answer.json["detail"]


@pytest.mark.parametrize("token", ["x", "r", "r====", "rAAAA", "s" + "A" * 40, "r" + "é" * 9, "r" + "A" * 9000])
def test_an_invalid_token_is_refused(world: World, token: str) -> None:
    image_id = world.ready_image(png())
    answer = prompt(world, image_id, {"prompts": [{"mask_token": token}]})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")


BAD_PROMPTS: dict[str, Any] = {
    "no prompts": {"prompts": []},
    "65 prompts": {"prompts": [CLICK] * 65},
    "nothing in the prompt": {"prompts": [{}]},
    "a label missing": {"prompts": [{"points": [[1, 1], [2, 2]], "labels": [1]}]},
    "labels without points": {"prompts": [{"labels": [1]}]},
    "a label that is none": {"prompts": [{"points": [[1, 1]], "labels": [4]}]},
    "a label below all": {"prompts": [{"points": [[1, 1]], "labels": [-2]}]},
    "a label that is a boolean": {"prompts": [{"points": [[1, 1]], "labels": [True]}]},
    "a point of three": {"prompts": [{"points": [[1, 1, 1]], "labels": [1]}]},
    "a point of text": {"prompts": [{"points": [["1", 1]], "labels": [1]}]},
    "far right": {"prompts": [{"points": [[241, 10]], "labels": [1]}]},
    "far up": {"prompts": [{"points": [[10, -81]], "labels": [1]}]},
    "a far box": {"prompts": [{"box": [0, 0, 10, 161]}]},
    "a box inside out": {"prompts": [{"box": [50, 10, 40, 20]}]},
    "a box upside down": {"prompts": [{"box": [10, 20, 40, 10]}]},
    "a flat box": {"prompts": [{"box": [10, 10, 10, 20]}]},
    "a box of three": {"prompts": [{"box": [10, 10, 20]}]},
    "two masks": {"prompts": [{"mask_token": "x", "mask_logits": "AA=="}]},
    "short logits": {"prompts": [{"mask_logits": "AAAA"}]},
    "logits that are text": {"prompts": [{"mask_logits": "not base64!"}]},
    "logits not finite": {"prompts": [{"mask_logits": base64.b64encode(b"\x00\x7c" * 65536).decode()}]},
    "an unknown member": {"prompts": [CLICK], "multimsk": True},
    "an unknown format": {"prompts": [CLICK], "format": "jpeg"},
    "multimask as text": {"prompts": [CLICK], "multimask": "yes"},
    "too many points": {"prompts": [{"points": [[1, 1]] * 65, "labels": [1] * 65}]},
    "too many points together": {"prompts": [{"points": [[1, 1]] * 64, "labels": [1] * 64}] * 17},
    "logits beyond ASCII": {"prompts": [{"mask_logits": "\u00e9\u00e9"}]},
    "a list": [CLICK],
}


def test_a_prompt_inside_a_token_is_held_to_the_image_as_any_other(world: World) -> None:
    """Anybody can write a token. A point far outside the image would make the score NaN."""
    image_id = world.ready_image(png())
    key = EmbeddingKey.of(image_id, FAKE)
    far = PromptInput(points=[[1e39, 5]], labels=[1])
    (token, *_) = recipe_tokens(far, key, multimask=True, count=3, depth=0)
    answer = prompt(world, image_id, {"prompts": [{"mask_token": token}]})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")


@pytest.mark.parametrize("body", BAD_PROMPTS.values(), ids=BAD_PROMPTS.keys())
def test_a_prompt_without_meaning_is_refused(world: World, body: Any) -> None:
    image_id = world.ready_image(png(120, 80))
    answer = prompt(world, image_id, body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt"), answer.text


def test_very_many_arrays_are_refused_unread_however_few_commas_part_them(world: World) -> None:
    body = b'{"prompts":[' + (b"[" * 150 + b"]" * 150 + b",") * 10_000 + b"1]}"
    answer = world.client.post(f"/v1/images/{world.ready_image(png())}/masks", data=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")
    assert "arrays and objects" in answer.json["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(world: World, number: str) -> None:
    image_id = world.ready_image(png())
    body = f'{{"prompts": [{{"points": [[{number}, 1]], "labels": [1]}}]}}'
    answer = world.client.post(f"/v1/images/{image_id}/masks", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt"), answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_malformed_json_is_refused(world: World, body: bytes) -> None:
    image_id = world.ready_image(png())
    answer = world.client.post(f"/v1/images/{image_id}/masks", data=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt"), answer.text


def test_points_up_to_one_image_size_outside_are_taken(world: World) -> None:
    image_id = world.ready_image(png(120, 80))
    edge = {"points": [[240, 160], [-120, -80]], "labels": [1, 0]}
    assert prompt(world, image_id, {"prompts": [edge]}).status_code == 200


def test_a_prompt_on_a_pending_image_is_told_to_wait(world: World) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]
    answer = prompt(world, image_id, {"prompts": [CLICK]}, "?wait=0.01")
    assert (answer.status_code, answer.json["code"]) == (409, "embedding-pending")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_damaged_embedding_is_dropped_and_encoded_again(world: World) -> None:
    image_id = world.ready_image(png())
    key = EmbeddingKey.of(image_id, FAKE)
    value = bytearray(world.store.get(key.redis_key) or b"")
    value[len(value) // 2] ^= 1
    world.store.put(key.redis_key, bytes(value), 60)
    world.queue.forget(key)
    answer = prompt(world, image_id, {"prompts": [CLICK]})
    assert (answer.status_code, answer.json["code"]) == (409, "embedding-pending")
    world.encode_next()
    assert prompt(world, image_id, {"prompts": [CLICK]}).status_code == 200


def test_prompts_on_images_in_memory_outlive_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = world.ready_image(png())
    before = prompt(world, image_id, {"prompts": [CLICK]}).json

    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("Redis is away", retry_after=1)

    for method in ("get", "put", "exists", "delete"):
        monkeypatch.setattr(world.store, method, down)
    assert prompt(world, image_id, {"prompts": [CLICK]}).json == before
    answer = prompt(world, "0" * 64, {"prompts": [CLICK]})
    assert (answer.status_code, answer.json["code"]) == (503, "store-unavailable")
    assert answer.headers["Retry-After"] == "1"


def test_prompts_on_unknown_images_and_models_are_refused(world: World) -> None:
    image_id = world.ready_image(png())
    for unknown in ("0" * 64, "short", image_id.upper()):
        answer = prompt(world, unknown, {"prompts": [CLICK]})
        assert (answer.status_code, answer.json["code"]) == (404, "image-not-found")
    answer = prompt(world, image_id, {"prompts": [CLICK]}, "?model=vit_x")
    assert (answer.status_code, answer.json["code"]) == (404, "model-not-found")


SIZES = {
    "2^30 x 2^30": [2**30, 2**30],
    "more pixels than are accepted": [40_000, 40_000],
    "a side that is too long": [1, 65_536],
    "truth": [True, True],
    "fractions": [80.0, 120.0],
    "negative": [-80, -120],
    "endless": [float("inf"), 80],
}


@pytest.mark.parametrize("original", SIZES.values(), ids=SIZES)
def test_an_embedding_of_a_size_that_no_image_has_is_dropped_and_encoded_again(
    world: World, original: list[float]
) -> None:
    """Its checksum is right: whoever writes to Redis can compute one."""
    image_id = world.ready_image(png())
    key = EmbeddingKey.of(image_id, FAKE)
    value = world.store.get(key.redis_key)
    assert value is not None
    header, payload = unseal(ValueKind.EMBEDDING, value)
    world.store.put(key.redis_key, seal(ValueKind.EMBEDDING, {**header, "original": original}, bytes(payload)), 60)
    ask = {"prompts": [{"points": [[60, 40]], "labels": [1]}]}
    url = f"/v1/images/{image_id}/masks?model=fake"
    answer = world.client.post(url, json=ask)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "embedding-pending")
    assert world.store.get(key.redis_key) is None
    world.queue.forget(key)
    assert world.client.get(f"/v1/images/{image_id}?model=fake").get_json()["status"] == "queued"
    world.encode_next()
    assert world.client.post(url, json=ask).status_code == 200


HOSTILE_FIELDS = {
    "truth as index": [{"points": [[1, 2]], "labels": [1]}, True, True, 1],
    "truth as depth": [{"points": [[1, 2]], "labels": [1]}, True, 0, True],
    "huge index": [{"points": [[1, 2]], "labels": [1]}, True, 10**300, 1],
    "number as multimask": [{"points": [[1, 2]], "labels": [1]}, 1, 0, 1],
    "table as multimask": [{"points": [[1, 2]], "labels": [1]}, {"a": 1}, 0, 1],
    "truth as coordinate": [{"points": [[True, 2]], "labels": [1]}, True, 0, 1],
    "truth as label": [{"points": [[1, 2]], "labels": [True]}, True, 0, 1],
    "huge coordinate": [{"points": [[10**400, 2]], "labels": [1]}, True, 0, 1],
    "huge corner": [{"box": [0, 0, 10**400, 10**400]}, True, 0, 1],
    "endless coordinate": [{"points": [[float("inf"), 2]], "labels": [1]}, True, 0, 1],
    "number as prompt": [7, True, 0, 1],
    "number as token": [{"mask_token": 7}, True, 0, 1],
    "nothing": [None, None, None, None],
    "too few": [],
}


@pytest.mark.parametrize("fields", HOSTILE_FIELDS.values(), ids=HOSTILE_FIELDS)
def test_a_token_of_hostile_fields_is_refused(world: World, fields: list[object]) -> None:
    image_id = world.ready_image(png())
    owner = tokens.binding(EmbeddingKey.of(image_id, FAKE))
    assert_refused(world, image_id, tokens.pack("r", [owner, *fields]))


@pytest.mark.parametrize("fields", [["x" * 22, True], ["x" * 22, 10**300], [True, 0], [["x" * 22], 0], [{}, {}]])
def test_a_token_of_hostile_stored_logits_is_refused(world: World, fields: list[object]) -> None:
    image_id = world.ready_image(png())
    owner = tokens.binding(EmbeddingKey.of(image_id, FAKE))
    assert_refused(world, image_id, tokens.pack("s", [owner, *fields]))


@pytest.mark.parametrize("text", ["[" * 10_000, '{"a":' * 2_500, "9" * 5_000, "[1e400]", "1", "null", '"r"'])
def test_a_token_of_any_json_is_refused(world: World, text: str) -> None:
    image_id = world.ready_image(png())
    packed = zlib.compress(text.encode(), 6, wbits=-15)
    assert_refused(world, image_id, "r" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode())


def assert_refused(world: World, image_id: str, token: str) -> None:
    answer = world.client.post(f"/v1/images/{image_id}/masks?model=fake", json={"prompts": [{"mask_token": token}]})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid-prompt")
