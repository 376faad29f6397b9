"""The search for similar objects over HTTP, on a decoder whose masks are squares of one colour."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from prompt_api import wiring
from prompt_api.models.fake.decoder import FakePrepared
from prompt_api.models.interface import DecodedMasks, Prompt
from prompt_api.service import similar as similar_service
from prompt_api.service.searches import SEARCHES, Searches
from shared.contract.errors import ImageNotFound, Overloaded
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE
from tests.support.connected import ConnectedDecoder, corner, middle, squares
from tests.support.world import OTHER, World, png
from tests.unit.api.test_access import ALICE, BOB, TOKENS, UNKNOWN, Tenant
from tests.unit.api.test_metrics import counted
from tests.unit.api.test_problems import assert_problem

RED = [(1, 1), (3, 1), (6, 1), (2, 3), (5, 3), (4, 5)]
GREEN = [(1, 4), (6, 4), (7, 5)]
CLICK = {"points": [middle(1, 1)], "labels": [1]}


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, no search of these tests is cut short."""
    monkeypatch.setattr(similar_service, "LONGEST_SEARCH", 600.0)
    monkeypatch.setattr(similar_service, "LONGEST_WRITING", 600.0)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(decoder=ConnectedDecoder())


@pytest.fixture
def image_id(world: World) -> str:
    return world.ready_image(squares(*RED, green=GREEN))


def ask(world: World, image_id: str, query: str = "", **body: Any) -> Any:
    """Search for red squares. Green ones have the same shape, so they are similar too, but less."""
    asked = {"examples": [CLICK], "min_similarity": 0.75, **body}
    return world.client.post(f"/v1/images/{image_id}/similar{query}", json=asked)


def found(world: World, image_id: str, **body: Any) -> list[dict[str, Any]]:
    answer = ask(world, image_id, **body)
    assert answer.status_code == 200, answer.text
    masks: list[dict[str, Any]] = answer.json["masks"]
    return masks


def places(masks: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """Return the places of the squares that the masks show. The edges of fake masks are a pixel off."""
    assert all(62 <= side <= 64 for mask in masks for side in mask["bbox"][2:])
    return {(mask["bbox"][0] // 128, mask["bbox"][1] // 128) for mask in masks}


def square(column: int, row: int) -> NDArray[np.bool_]:
    mask = np.zeros((768, 1024), bool)
    x, y = corner(column, row)
    mask[y : y + 64, x : x + 64] = True
    return mask


def rle(column: int, row: int) -> dict[str, Any]:
    packed = coco.encode(np.asfortranarray(square(column, row), np.uint8))
    return {"rle": {"size": list(packed["size"]), "counts": packed["counts"].decode()}}


def as_png(column: int, row: int) -> dict[str, str]:
    file = io.BytesIO()
    Image.fromarray(square(column, row)).save(file, "PNG")
    return {"png": base64.b64encode(file.getvalue()).decode()}


def test_one_click_finds_all_that_looks_alike(world: World, image_id: str) -> None:
    answer = ask(world, image_id)
    assert answer.status_code == 200, answer.text
    head = {name: answer.json[name] for name in ("image_id", "model", "width", "height", "truncated")}
    assert head == {"image_id": image_id, "model": "fake", "width": 1024, "height": 768, "truncated": False}
    masks = answer.json["masks"]
    assert places(masks) == set(RED)
    similarities = [mask["similarity"] for mask in masks]
    assert similarities == sorted(similarities, reverse=True)
    assert all(0 <= similarity <= 1 for similarity in similarities)
    for mask in masks:
        assert set(mask) == {"similarity", "score", "area", "bbox", "rle", "mask_token", "point"}
        packed = {**mask["rle"], "counts": mask["rle"]["counts"].encode()}
        x, y = map(int, mask["point"])
        assert coco.decode(packed)[y, x]
    assert answer.headers["Cache-Control"] == "no-store"
    assert {"decode", "encode"} <= {part.split(";")[0].strip() for part in answer.headers["Server-Timing"].split(",")}


@pytest.mark.parametrize("example", [{"box": [*corner(1, 1), 224, 224]}, {"mask": rle(1, 1)}, {"mask": as_png(1, 1)}])
def test_an_example_may_be_a_box_or_a_mask(world: World, image_id: str, example: dict[str, Any]) -> None:
    assert places(found(world, image_id, examples=[example])) == set(RED)


def test_an_example_may_be_a_token_of_any_answer(world: World, image_id: str) -> None:
    first = found(world, image_id)
    assert places(found(world, image_id, examples=[{"mask_token": first[-1]["mask_token"]}])) == set(RED)
    prompted = world.client.post(f"/v1/images/{image_id}/masks", json={"prompts": [CLICK]})
    token = prompted.json["results"][0]["masks"][0]["mask_token"]
    world.services.masks.forget(image_id)  # another process decodes the token again
    assert places(found(world, image_id, examples=[{"mask_token": token}])) == set(RED)


def test_a_token_of_an_answer_refines_its_mask(world: World, image_id: str) -> None:
    for mask in found(world, image_id):
        point = [round(value) for value in mask["point"]]
        prompt = {"points": [point], "labels": [1], "mask_token": mask["mask_token"]}
        answer = world.client.post(f"/v1/images/{image_id}/masks", json={"prompts": [prompt], "multimask": False})
        assert answer.status_code == 200, answer.text
        assert answer.json["results"][0]["masks"][0]["bbox"] == mask["bbox"]


def test_a_token_of_a_region_is_an_example_too(world: World, image_id: str) -> None:
    region = [0, 0, 512, 512]
    asked = {"prompts": [CLICK], "region": region}
    world.client.post(f"/v1/images/{image_id}/masks", json=asked)
    world.encode_next()
    prompted = world.client.post(f"/v1/images/{image_id}/masks", json=asked)
    token = prompted.json["results"][0]["masks"][0]["mask_token"]
    assert places(found(world, image_id, examples=[{"mask_token": token}])) == set(RED)


def test_what_is_not_meant_is_not_found(world: World, image_id: str) -> None:
    both = [CLICK, {"points": [middle(*GREEN[0])], "labels": [1]}]
    assert places(found(world, image_id, examples=both)) == {*RED, *GREEN}
    negative = [CLICK, {"points": [middle(*GREEN[0])], "labels": [1], "label": 0}]
    assert places(found(world, image_id, examples=negative, min_similarity=0)) <= {*RED, *GREEN} - {GREEN[0]}
    assert places(found(world, image_id, examples=negative)) == set(RED)


@pytest.mark.parametrize("form", [rle, as_png])
def test_what_is_excluded_is_not_found(world: World, image_id: str, form: Callable[[int, int], dict[str, Any]]) -> None:
    excluded = [form(*place) for place in RED[:3]]
    assert places(found(world, image_id, exclude=excluded)) == set(RED[3:])


def test_an_example_of_another_image_finds_the_same(world: World, image_id: str) -> None:
    other = world.ready_image(squares((0, 0), green=[(5, 5)]))
    examples = [
        {"points": [middle(0, 0)], "labels": [1], "image_id": other},
        {"mask": rle(5, 5), "image_id": other, "label": 0},
    ]
    assert places(found(world, image_id, examples=examples)) == set(RED)
    prompted = world.client.post(
        f"/v1/images/{other}/masks", json={"prompts": [{"points": [middle(0, 0)], "labels": [1]}]}
    )
    token = prompted.json["results"][0]["masks"][0]["mask_token"]
    assert places(found(world, image_id, examples=[{"mask_token": token, "image_id": other}])) == set(RED)
    assert_problem(ask(world, image_id, examples=[{"mask_token": token}]), 422, "invalid-prompt")


def test_masks_come_in_the_form_asked_for(world: World, image_id: str) -> None:
    plain = found(world, image_id)
    for form in ("rle", "png", "polygons"):
        masks = found(world, image_id, format=form, clean={"keep": "largest"}, tolerance=2.0)
        assert [mask["mask_token"] for mask in masks] == [mask["mask_token"] for mask in plain]
        assert all(form in mask for mask in masks)
    x, y = plain[0]["bbox"][:2]
    (polygon,) = masks[0]["polygons"]
    assert len(polygon["outer"]) < 9
    assert [x, y] == np.min(polygon["outer"], axis=0).tolist()


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"examples": []}, "examples"),
        ({"examples": [CLICK] * 33}, "examples"),
        ({"examples": [{**CLICK, "label": 0}]}, "examples"),
        ({"examples": [{}]}, "examples/0"),
        ({"examples": [CLICK, {**CLICK, "mask_token": "rabc"}]}, "examples/1"),
        ({"examples": [{"points": [[1, 1]], "labels": []}]}, "examples/0"),
        ({"examples": [{"box": [5, 5, 1, 1]}]}, "examples/0"),
        ({"examples": [{**CLICK, "label": 2}]}, "examples/0/label"),
        ({"examples": [{**CLICK, "image_id": "abc"}]}, "examples/0/image_id"),
        ({"examples": [{**CLICK, "mask_logits": "AAAA"}]}, "examples/0/mask_logits"),
        ({"examples": [{"points": [[9000, 1]], "labels": [1]}]}, "examples/0"),
        ({"examples": [CLICK, {"mask_token": "rabc"}]}, "examples/1"),
        ({"examples": [{"mask": {"png": "!"}}]}, "examples/0/mask"),
        ({"examples": [{"mask": {"rle": {"size": [2, 2], "counts": "04"}}}]}, "examples/0/mask"),
        ({"examples": [{"mask": {"rle": {"size": [768, 1024], "counts": "PPPh0"}}}]}, "examples/0/mask"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": True}, "limit"),
        ({"min_similarity": 1.1}, "min_similarity"),
        ({"min_score": -0.1}, "min_score"),
        ({"size": [0.4]}, "size"),
        ({"size": [2, 1]}, "size"),
        ({"size": [0, 101]}, "size/1"),
        ({"exclude": [{"rle": {"size": [2, 2], "counts": "04"}}]}, "exclude/0"),
        ({"exclude": [rle(1, 1), {"png": "AAAA"}]}, "exclude/1"),
        ({"exclude": [{"rle": {"size": [2, 2], "counts": "4"}}] * 1001}, "exclude"),
        ({"exclude": [as_png(1, 1)] * 17}, "16 masks"),
        ({"format": "logits"}, "format"),
        ({"clean": {"keep": "none"}}, "clean/keep"),
        ({"tolerance": -1}, "tolerance"),
        ({"more": 1}, "more"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(
    world: World, image_id: str, body: dict[str, Any], where: str
) -> None:
    answer = ask(world, image_id, **body)
    assert_problem(answer, 422, "invalid-prompt")
    assert where in answer.json["detail"]


def test_an_empty_body_is_refused(world: World, image_id: str) -> None:
    assert_problem(world.client.post(f"/v1/images/{image_id}/similar"), 422, "invalid-prompt")


def test_excluded_masks_have_a_bound(world: World, image_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_service, "MOST_RUNS", 100)
    answer = ask(world, image_id, exclude=[rle(1, 1), rle(3, 1)])
    assert_problem(answer, 422, "invalid-prompt")
    assert "exclude/1" in answer.json["detail"]


def test_an_image_that_is_not_encoded_yet_is_pending(world: World, image_id: str) -> None:
    other = world.client.post("/v1/images", data=squares((0, 0))).json["image_id"]
    pending = ask(world, other)
    assert_problem(pending, 409, "embedding-pending")
    assert pending.headers["Retry-After"] == "1"
    for example in (CLICK, {"mask": rle(0, 0)}):
        answer = ask(world, image_id, examples=[CLICK, {**example, "image_id": other}])
        assert_problem(answer, 409, "embedding-pending")
        assert answer.json["detail"] == f"examples/1: {pending.json['detail']}"
    world.encode_next()
    assert places(found(world, image_id, examples=[{"mask": rle(0, 0), "image_id": other}])) == set(RED)


def test_an_example_must_be_encoded_for_the_same_model(world: World, image_id: str) -> None:
    other = world.ready_image(squares((0, 0)), OTHER)
    answer = ask(world, image_id, examples=[{"mask": rle(0, 0), "image_id": other}])
    assert_problem(answer, 409, "embedding-pending")
    assert_problem(ask(world, image_id, "?model=nope"), 404, "model-not-found")


def test_an_unknown_image_of_an_example_is_named(world: World, image_id: str) -> None:
    answer = ask(world, image_id, examples=[CLICK, {**CLICK, "image_id": UNKNOWN}])
    assert_problem(answer, 404, "image-not-found")
    assert answer.json["detail"].startswith("examples/1: ")


@pytest.fixture
def guarded(make_world: Callable[..., World]) -> World:
    return make_world(decoder=ConnectedDecoder(), tokens=TOKENS)


@pytest.mark.parametrize("encoded", [False, True])
def test_nothing_of_anothers_image_is_learnt_by_naming_it_as_an_example(guarded: World, encoded: bool) -> None:
    alice, bob = Tenant(guarded, ALICE), Tenant(guarded, BOB)
    hers = str(alice.upload(squares((0, 0))).json["image_id"])
    if encoded:
        guarded.encode_next()
    his = bob.ready(squares(*RED))
    if not encoded:
        guarded.encode_next()
        his = bob.ready(squares(*RED))
    token = "r"
    if encoded:
        masks = alice.prompt(hers, {"prompts": [{"points": [middle(0, 0)], "labels": [1]}]})
        token = masks.json["results"][0]["masks"][0]["mask_token"]
    examples: list[dict[str, Any]] = [
        CLICK,
        {"box": [1, 1, 50, 50]},
        {"points": [[9000, 1]], "labels": [1]},
        {"mask_token": token},
        {"mask_token": "rabc"},
        {"mask": rle(0, 0)},
        {"mask": {"rle": {"size": [2, 2], "counts": "04"}}},
        {"mask": {"rle": {"size": [768, 1024], "counts": "!"}}},
    ]

    def told(of: str, example: dict[str, Any], query: str) -> tuple[int, list[tuple[str, str]], bytes]:
        body = {"examples": [CLICK, {**example, "image_id": of, "label": 0}]}
        answer = bob("POST", f"/v1/images/{his}/similar{query}", json=body, headers={"X-Request-ID": "-"})
        return answer.status_code, sorted(answer.headers.items()), answer.data.replace(of.encode(), b"-")

    for query in ("", "?wait=0.1", "?model=other"):
        for example in examples:
            anothers, nobodys = told(hers, example, query), told(UNKNOWN, example, query)
            assert anothers == nobodys
            assert anothers[0] == 404
    assert guarded.services.images.state(EmbeddingKey.of(hers, FAKE))  # it is still there
    assert bob("POST", f"/v1/images/{hers}/similar", json={"examples": [CLICK]}).status_code == 404
    assert bob("POST", f"/v1/images/{his}/similar", json={"examples": [{"mask_token": token}]}).status_code == 422


def test_an_image_that_both_have_is_an_example_but_its_tokens_are_not_shared(guarded: World) -> None:
    alice, bob = Tenant(guarded, ALICE), Tenant(guarded, BOB)
    shared, his = alice.ready(squares((0, 0))), bob.ready(squares(*RED))
    bob.ready(squares((0, 0)))
    click = {"points": [middle(0, 0)], "labels": [1]}
    token = alice.prompt(shared, {"prompts": [click]}).json["results"][0]["masks"][0]["mask_token"]
    path = f"/v1/images/{his}/similar"
    answer = bob("POST", path, json={"examples": [{**click, "image_id": shared}]})
    assert (answer.status_code, places(answer.json["masks"])) == (200, set(RED))
    refused = bob("POST", path, json={"examples": [{"mask_token": token, "image_id": shared}]})
    assert_problem(refused, 422, "invalid-prompt")


def test_beyond_the_limit_the_answer_is_truncated(world: World, image_id: str) -> None:
    whole = found(world, image_id)
    answer = ask(world, image_id, limit=2).json
    assert answer["truncated"] is True
    assert [mask["mask_token"] for mask in answer["masks"]] == [mask["mask_token"] for mask in whole[:2]]


def test_a_search_that_takes_too_long_answers_what_it_has(
    world: World, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar_service, "LONGEST_SEARCH", -1.0)
    answer = ask(world, image_id).json
    assert (answer["masks"], answer["truncated"]) == ([], True)


def test_without_time_to_write_them_all_the_answer_is_truncated(
    world: World, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar_service, "LONGEST_WRITING", -1.0)
    answer = ask(world, image_id).json
    assert (answer["masks"], answer["truncated"]) == ([], True)


def test_each_decode_counts_as_a_prompt(make_world: Callable[..., World]) -> None:
    world = make_world(decoder=ConnectedDecoder())
    image_id = world.ready_image(squares(*RED))
    assert places(found(world, image_id)) == set(RED)
    decodes = int(counted(world, "sam_api_prompts_total"))
    assert decodes > len(RED)

    exactly = make_world(decoder=ConnectedDecoder(), rate_limit_prompts=f"{decodes}/hour")
    image_id = exactly.ready_image(squares(*RED))
    answer = ask(exactly, image_id)
    assert (places(answer.json["masks"]), answer.json["truncated"]) == (set(RED), False)
    assert_problem(ask(exactly, image_id), 429, "rate-limited")


def test_when_the_rate_limit_ends_a_search_what_is_found_is_the_answer(make_world: Callable[..., World]) -> None:
    free = make_world(decoder=ConnectedDecoder())
    whole = found(free, free.ready_image(squares(*RED)))
    decodes = int(counted(free, "sam_api_prompts_total"))
    world = make_world(decoder=ConnectedDecoder(), rate_limit_prompts=f"{decodes - 1}/hour")
    answer = ask(world, world.ready_image(squares(*RED)))
    assert answer.status_code == 200, answer.text
    assert answer.json["truncated"] is True
    assert 0 < len(answer.json["masks"]) <= len(whole)


def test_a_rate_limit_that_allows_no_decode_refuses_the_search(make_world: Callable[..., World]) -> None:
    world = make_world(decoder=ConnectedDecoder(), rate_limit_prompts="1/hour")
    image_id = world.ready_image(squares(*RED))
    answer = ask(world, image_id)
    assert_problem(answer, 429, "rate-limited")
    assert int(answer.headers["Retry-After"]) > 0


class Interrupted(ConnectedDecoder):
    """Calls `then` at each search's first points."""

    then: Callable[[], None] = staticmethod(lambda: None)

    def decode_points(
        self, image: FakePrepared, points: NDArray[np.float32], least_score: float
    ) -> Iterator[DecodedMasks]:
        self.then()
        return super().decode_points(image, points, least_score)


@pytest.mark.parametrize("which", ["the searched image", "that of an example"])
def test_an_image_that_is_deleted_meanwhile_is_not_found(make_world: Callable[..., World], which: str) -> None:
    decoder = Interrupted()
    world = make_world(decoder=decoder)
    image_id, other = world.ready_image(squares(*RED)), world.ready_image(squares((0, 0)))
    deleted = image_id if which == "the searched image" else other

    def delete() -> None:
        assert world.services.images.delete(deleted, (FAKE, OTHER))
        world.services.similar.forget(deleted)  # as the event of the deletion does

    decoder.then = delete
    answer = ask(world, image_id, examples=[{"points": [middle(0, 0)], "labels": [1], "image_id": other}])
    assert_problem(answer, 404, "image-not-found")


def test_features_are_kept_and_forgotten_with_their_image(world: World, image_id: str) -> None:
    assert counted(world, "sam_api_lru_entries", cache="features") == 0
    found(world, image_id)
    found(world, image_id)
    assert counted(world, "sam_api_lru_entries", cache="features") == 1
    assert counted(world, "sam_api_lru_bytes", cache="features") > 0
    world.services.similar.forget(image_id)
    assert counted(world, "sam_api_lru_entries", cache="features") == 0


def test_an_embedding_that_only_the_features_lack_is_made_again(world: World, image_id: str) -> None:
    world.client.post(f"/v1/images/{image_id}/masks", json={"prompts": [CLICK]})  # the image is in memory
    key = EmbeddingKey.of(image_id, FAKE)
    world.store.delete(key.redis_key)
    world.queue.forget(key)
    assert_problem(ask(world, image_id), 409, "embedding-pending")
    world.encode_next()
    assert places(found(world, image_id)) == set(RED)


def test_a_deleted_image_in_doubt_is_not_searched(world: World, image_id: str) -> None:
    found(world, image_id)
    world.client.delete(f"/v1/images/{image_id}")  # this process does not get the event
    world.services.masks.doubt()
    assert_problem(ask(world, image_id), 404, "image-not-found")


def test_a_picture_without_anything_alike_has_no_masks(world: World) -> None:
    image_id = world.ready_image(squares((1, 1)))
    answer = ask(world, image_id, exclude=[rle(1, 1)]).json
    assert (answer["masks"], answer["truncated"]) == ([], False)


def test_a_small_picture_can_be_searched(world: World) -> None:
    image_id = world.ready_image(png(40, 30))
    answer = ask(world, image_id, examples=[{"points": [[15, 10]], "labels": [1]}])
    assert answer.status_code == 200, answer.text


def test_a_client_has_half_of_the_searches_of_a_process() -> None:
    searches = Searches()
    with searches.room("a", 1), searches.room("a", 1):
        with pytest.raises(Overloaded), searches.room("a", 1):
            pass
        with searches.room("b", 1), searches.room("b", 1), pytest.raises(Overloaded), searches.room("c", 1):
            pass
        with searches.room("c", 1):
            pass
    with searches.room("a", 1):
        pass
    assert SEARCHES == 4


def test_all_searches_together_hold_a_bounded_number_of_masks() -> None:
    searches = Searches()
    with searches.room("a", 300):
        with pytest.raises(Overloaded), searches.room("b", 201):
            pass
        with searches.room("b", 200):
            pass
    with searches.room("b", 500):
        pass


def test_a_search_learns_of_deletions_of_its_images_alone() -> None:
    searches = Searches()
    with searches.watched(frozenset({"a", "b"})) as one, searches.watched(frozenset({"c"})) as other:
        searches.end_with("b")
        with pytest.raises(ImageNotFound):
            one.require()
        other.require()
    searches.end_with("c")
    other.require()


class Recording(Interrupted):
    """Records what it decodes, in order."""

    def __init__(self) -> None:
        self.decoded: list[str] = []

    def decode(
        self, image: FakePrepared, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        self.decoded.append("prompt")
        return super().decode(image, prompts, multimask=multimask, padding=padding)

    def decode_points(
        self, image: FakePrepared, points: NDArray[np.float32], least_score: float
    ) -> Iterator[DecodedMasks]:
        self.decoded.append("points")
        return super().decode_points(image, points, least_score)


def test_a_prompt_is_decoded_in_the_middle_of_a_search(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "usable_cores", lambda: 1)
    decoder = Recording()
    world = make_world(decoder=decoder)
    image_id = world.ready_image(squares(*RED))
    statuses: list[int] = []

    def prompt() -> None:
        client = world.client.application.test_client()
        statuses.append(client.post(f"/v1/images/{image_id}/masks", json={"prompts": [CLICK]}).status_code)

    prompting = threading.Thread(target=prompt)

    def begin() -> None:
        decoder.then = lambda: None
        prompting.start()
        until = time.monotonic() + 30
        while not world.services.masks.waiting and time.monotonic() < until:  # nobody tells that a request waits
            time.sleep(0.001)

    decoder.then = begin
    assert places(found(world, image_id)) == set(RED)
    prompting.join(30)
    assert statuses == [200]
    example, first, *middle_part, last = decoder.decoded
    assert (example, first, last) == ("prompt", "points", "points")
    assert "prompt" in middle_part
