"""Regions: asked for, encoded once, prompted, refined, bounded, deleted with their image."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.mask import decode as decode_rle

from prompt_api.service.prompts import MasksQuery
from shared.contract.errors import EncodeFailed
from shared.contract.keys import EmbeddingKey, image_key, record_key, regions_key
from shared.contract.models import FAKE
from shared.contract.region import Region
from shared.observe.stages import Stages
from tests.support.world import OTHER, World, new_world

WIDTH, HEIGHT = 400, 300
PART = [100, 50, 300, 250]
"""The region of most tests."""

CLICK = {"points": [[170, 120]], "labels": [1]}


def photo() -> Image.Image:
    """A picture with some squares of other colours."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (20, 90, 160))
    image.paste((200, 30, 30), (150, 100, 210, 160))
    image.paste((30, 200, 30), (240, 60, 330, 140))
    image.paste((220, 220, 20), (20, 20, 60, 60))
    return image


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PHOTO = as_png(photo())
IMAGE_ID = hashlib.sha256(PHOTO).hexdigest()
BASE = f"/v1/images/{IMAGE_ID}"


@pytest.fixture
def world() -> World:
    """A world in which the whole photo is encoded."""
    world = new_world()
    assert world.ready_image(PHOTO) == IMAGE_ID
    return world


def key(region: list[int] | None = PART, model: Any = FAKE) -> EmbeddingKey:
    return EmbeddingKey.of(IMAGE_ID, model, None if region is None else Region(*region))


def ready_region(world: World, region: list[int] = PART) -> None:
    assert world.client.post(f"{BASE}/regions", json={"regions": [region]}).status_code == 202
    world.encode_next()


def prompted(world: World, prompt: dict[str, Any] = CLICK, region: object = PART, **members: Any) -> Any:
    return world.client.post(f"{BASE}/masks", json={"prompts": [prompt], "region": region, **members})


def painted(mask: dict[str, Any]) -> NDArray[np.bool_]:
    return np.asarray(decode_rle(mask["rle"]), dtype=bool)


def test_a_region_is_queued_encoded_and_ready(world: World) -> None:
    answer = world.client.post(f"{BASE}/regions", json={"regions": [PART]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
    assert answer.json == {
        "image_id": IMAGE_ID,
        "model": "fake",
        "width": WIDTH,
        "height": HEIGHT,
        "regions": [{"region": PART, "status": "queued", "queue_position": None, "error": None}],
    }
    world.encode_next()
    answer = world.client.post(f"{BASE}/regions", json={"regions": [PART]})
    assert (answer.status_code, answer.json["regions"][0]["status"]) == (200, "ready")
    assert world.encodes[-1] == key()


def test_the_resource_of_a_region_names_it_and_its_links_do(world: World) -> None:
    ready_region(world)
    shown = world.client.get(f"{BASE}?region=100,50,300,250").json
    assert (shown["region"], shown["status"], shown["width"], shown["height"]) == (PART, "ready", WIDTH, HEIGHT)
    for name in ("self", "embedding", "events"):
        answer = world.client.get(shown["links"][name])
        assert answer.status_code == 200
    assert world.client.get(shown["links"]["self"]).json == shown
    assert world.client.head(shown["links"]["self"]).status_code == 200


def test_to_look_at_a_region_has_it_encoded(world: World) -> None:
    assert world.client.get(f"{BASE}?region=100,50,300,250").json["status"] == "queued"
    world.encode_next()
    assert world.encodes[-1] == key()


def test_the_embedding_of_a_region_is_another_file_than_that_of_the_image(world: World) -> None:
    path = f"{BASE}/embedding?region=100,50,300,250"
    assert (world.client.get(path).status_code, world.client.get(path).json["code"]) == (409, "embedding-pending")
    world.encode_next()
    part, whole = world.client.get(path), world.client.get(f"{BASE}/embedding")
    assert part.status_code == 200
    assert part.headers["ETag"] != whole.headers["ETag"]
    assert np.load(io.BytesIO(part.data)).shape == (1, 256, 64, 64)
    assert world.client.get(path, headers={"If-None-Match": part.headers["ETag"]}).status_code == 304


def test_the_events_of_a_region_end_when_it_is_ready(world: World) -> None:
    ready_region(world)
    stream = world.client.get(f"{BASE}/events?region=100,50,300,250").text
    assert stream.count("event: ") == 1
    assert "event: ready" in stream
    assert '"region": [100, 50, 300, 250]' in stream


def test_the_whole_image_is_no_region(world: World) -> None:
    whole = [0, 0, WIDTH, HEIGHT]
    answer = world.client.post(f"{BASE}/regions", json={"regions": [whole]})
    assert (answer.status_code, answer.json["regions"]) == (
        200,
        [{"region": None, "status": "ready", "queue_position": None, "error": None}],
    )
    assert world.client.get(f"{BASE}?region=0,0,{WIDTH},{HEIGHT}").json["region"] is None
    assert prompted(world, region=whole).json == prompted(world, region=None).json
    assert len(world.encodes) == 1


def test_a_mask_of_a_region_is_that_of_the_cropped_picture_put_back_in_its_place(world: World) -> None:
    """The fake model has SAM's geometry, so this is exact."""
    ready_region(world)
    x0, y0, x1, y1 = PART
    crop = world.ready_image(as_png(photo().crop((x0, y0, x1, y1))))
    for prompt in (
        CLICK,
        {"points": [[170, 120], [260, 100]], "labels": [1, 0]},
        {"box": [140, 90, 220.5, 170.25]},
        {"points": [[20, 290]], "labels": [1], "box": [90, 40, 350, 290]},
    ):
        shifted: dict[str, Any] = dict(prompt)
        if "points" in prompt:
            shifted["points"] = [[x - x0, y - y0] for x, y in prompt["points"]]
        if "box" in prompt:
            shifted["box"] = [edge - corner for edge, corner in zip(prompt["box"], [x0, y0, x0, y0], strict=True)]
        ours = prompted(world, prompt).json
        theirs = world.client.post(f"/v1/images/{crop}/masks", json={"prompts": [shifted]}).json
        assert (ours["region"], ours["width"], ours["height"], theirs["region"]) == (PART, WIDTH, HEIGHT, None)
        for mine, other in zip(ours["results"][0]["masks"], theirs["results"][0]["masks"], strict=True):
            expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
            expected[y0:y1, x0:x1] = painted(other)
            assert np.array_equal(painted(mine), expected)
            assert (mine["score"], mine["area"]) == (other["score"], other["area"])
            x, y, width, height = other["bbox"]
            assert mine["bbox"] == ([x + x0, y + y0, width, height] if other["area"] else [0, 0, 0, 0])


def test_every_format_has_the_mask_at_its_place_in_the_whole_image(world: World) -> None:
    ready_region(world)
    masks = {form: prompted(world, format=form).json["results"][0]["masks"][0] for form in ("rle", "png", "polygons")}
    rle = painted(masks["rle"])
    assert rle.shape == (HEIGHT, WIDTH)
    assert rle.any()
    png = Image.open(io.BytesIO(base64.b64decode(masks["png"]["png"])))
    assert np.array_equal(np.asarray(png, dtype=bool), rle)
    rows, columns = np.nonzero(rle)
    ring = np.array(masks["polygons"]["polygons"][0]["outer"])
    assert [*ring.min(axis=0), *ring.max(axis=0)] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert len({(mask["area"], *mask["bbox"]) for mask in masks.values()}) == 1


def test_the_logits_of_a_region_are_over_the_region(world: World) -> None:
    ready_region(world)
    (part, *_), (whole, *_) = (
        prompted(world, region=region, format="logits").json["results"][0]["masks"] for region in (PART, None)
    )
    assert part["logits"] != whole["logits"]
    again = prompted(world, {**CLICK, "mask_logits": part["logits"]})
    assert again.status_code == 200


def test_a_prompt_on_a_region_that_nobody_asked_for_queues_it(world: World) -> None:
    answer = prompted(world)
    assert (answer.status_code, answer.json["code"]) == (409, "embedding-pending")
    assert answer.json["detail"] == "the region is not encoded yet"
    world.encode_next()
    assert prompted(world).json["region"] == PART


def test_a_prompt_waits_for_its_region(world: World) -> None:
    answers: list[Any] = []
    body = {"prompts": [CLICK], "region": PART}
    thread = Thread(target=lambda: answers.append(world.client.post(f"{BASE}/masks?wait=20", json=body)))
    thread.start()
    while world.queue.state(key()).position != 0:
        pass
    world.encode_next()
    world.events.publish(key(), "ready")
    thread.join(60)
    assert answers[0].json["region"] == PART


def test_to_ask_for_regions_waits_for_all_of_them(world: World) -> None:
    answers: list[Any] = []
    both = [PART, [0, 0, 200, 200]]
    thread = Thread(target=lambda: answers.append(world.client.post(f"{BASE}/regions?wait=20", json={"regions": both})))
    thread.start()
    while world.queue.state(key(both[1])).position != 1:
        pass
    for region in both:
        world.encode_next()
        world.events.publish(key(region), "ready")
    thread.join(60)
    assert answers[0].status_code == 200
    assert [state["status"] for state in answers[0].json["regions"]] == ["ready", "ready"]


def test_many_who_ask_for_one_region_share_one_encoding(world: World) -> None:
    for _ in range(3):
        world.client.post(f"{BASE}/regions", json={"regions": [PART, PART]})
        prompted(world)
        world.client.get(f"{BASE}?region=100,50,300,250")
    world.encode_next()
    with pytest.raises(IndexError):
        world.encode_next()


def test_each_model_has_its_own_embedding_of_a_region(world: World) -> None:
    ready_region(world)
    assert world.client.get(f"{BASE}?region=100,50,300,250&model=other").json["status"] == "queued"
    world.encode_next()
    assert world.encodes[-1] == key(model=OTHER)


def test_an_evicted_region_is_encoded_again_from_the_kept_bytes(world: World) -> None:
    ready_region(world)
    world.store.delete(key().redis_key)
    world.queue.forget(key())
    assert world.client.get(f"{BASE}?region=100,50,300,250").json["status"] == "queued"
    world.encode_next()
    assert prompted(world).json["region"] == PART


def test_without_the_bytes_a_region_cannot_be_encoded_and_the_image_goes_on(world: World) -> None:
    world.store.delete(image_key(IMAGE_ID))
    for answer in (prompted(world), world.client.post(f"{BASE}/regions", json={"regions": [PART]})):
        assert (answer.status_code, answer.json["code"]) == (410, "image-expired")
    assert prompted(world, region=None).status_code == 200


def test_a_region_that_failed_is_told_and_tried_again_when_it_is_asked_for(world: World) -> None:
    def encode(key: EmbeddingKey) -> None:
        raise EncodeFailed("out of memory")

    world.client.post(f"{BASE}/regions", json={"regions": [PART]})
    for _ in range(3):
        world.queue.run_next(encode)
    shown = world.client.get(f"{BASE}?region=100,50,300,250").json
    assert (shown["status"], shown["error"]) == ("failed", {"code": "encode-failed", "detail": "out of memory"})
    assert (prompted(world).status_code, prompted(world).json["code"]) == (422, "encode-failed")
    (state,) = world.client.post(f"{BASE}/regions", json={"regions": [PART]}).json["regions"]
    assert (state["status"], state["error"]) == ("queued", None)
    world.encode_next()
    assert prompted(world).status_code == 200


@pytest.mark.parametrize(
    "region",
    [[0, 0, 401, 300], [0, 0, 400, 301], [-1, 0, 100, 100], [50, 50, 50, 100], [60, 60, 50, 100], [0, 0, 15, 100]],
)
def test_what_is_no_region_is_an_invalid_parameter(world: World, region: list[int]) -> None:
    answers = [prompted(world, region=region), world.client.post(f"{BASE}/regions", json={"regions": [PART, region]})]
    if min(region) >= 0:
        answers += [
            world.client.get(f"{path}?region={','.join(map(str, region))}")
            for path in (BASE, f"{BASE}/embedding", f"{BASE}/events")
        ]
    for answer in answers:
        assert (answer.status_code, answer.json["code"]) == (422, "invalid-parameter")
        assert "region" in answer.json["detail"]
    with pytest.raises(IndexError):
        world.encode_next()


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "0,0,16.5,16", "0, 0,16,16", "-1,0,16,16", "auto"])
def test_a_malformed_region_parameter_is_refused(world: World, text: str) -> None:
    answer = world.client.get(BASE, query_string={"region": text})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-parameter")


@pytest.mark.parametrize(
    "region", [[0, 0, 16.5, 16], ["0", 0, 16, 16], [0, 0, 16], "everywhere", {}, [True, 0, 99, 99]]
)
def test_a_malformed_region_of_a_prompt_is_refused(world: World, region: object) -> None:
    answer = prompted(world, region=region)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")
    assert "region" in answer.json["errors"][0]["at"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"regions": []},
        {"regions": [PART], "around": [[0, 0, 50, 50]]},
        {"regions": [PART] * 65},
        {"around": [[50, 0, 50, 50]]},
        {"around": [[50, 0, 60, float("nan")]]},
        {"around": [[500, 0, 600, 50]]},
        {"around": [[0, -90, 60, -50]]},
        {"boxes": [PART]},
        [PART],
    ],
)
def test_a_request_for_regions_of_another_form_is_refused(world: World, body: object) -> None:
    answer = world.client.post(f"{BASE}/regions", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-parameter")


def test_a_region_of_an_image_that_nobody_uploaded_is_not_found(world: World) -> None:
    path = f"/v1/images/{'0' * 64}"
    for answer in (
        world.client.post(f"{path}/regions", json={"regions": [PART]}),
        world.client.get(f"{path}?region=0,0,16,16"),
        world.client.get(f"{path}/embedding?region=0,0,16,16"),
        world.client.post(f"{path}/masks", json={"prompts": [CLICK], "region": PART}),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "image-not-found")


def test_a_token_works_in_its_own_region_alone(world: World) -> None:
    ready_region(world)
    ready_region(world, [0, 0, 350, 250])
    tokens = {str(region): prompted(world, region=region) for region in (PART, [0, 0, 350, 250], None)}
    for region in (PART, [0, 0, 350, 250], None):
        for issued_for, answer in tokens.items():
            token = answer.json["results"][0]["masks"][0]["mask_token"]
            refined = prompted(world, {**CLICK, "mask_token": token}, region)
            if issued_for == str(region):
                assert refined.status_code == 200
                continue
            assert (refined.status_code, refined.json["code"]) == (422, "invalid-prompt")
            assert refined.json["detail"] == "mask_token belongs to another region of this image"


def test_stored_logits_work_in_their_own_region_alone(world: World) -> None:
    """Tokens of prompts with many points name stored logits. One that was rewritten finds none of another region."""
    ready_region(world)
    many = {"points": [[170, 120 + i / 10] for i in range(40)], "labels": [1] * 40}
    token = prompted(world, many).json["results"][0]["masks"][0]["mask_token"]
    world.services.masks.forget(IMAGE_ID)  # so that the logits come from the store
    assert prompted(world, {**CLICK, "mask_token": token}).status_code == 200
    assert prompted(world, {**CLICK, "mask_token": token}, None).json["code"] == "invalid-prompt"


def test_a_refinement_in_a_region_is_decoded_again_by_a_process_that_remembers_nothing(world: World) -> None:
    ready_region(world)
    token = prompted(world).json["results"][0]["masks"][1]["mask_token"]
    refine = {"points": [[170, 120], [190, 110]], "labels": [1, 0], "mask_token": token}
    first = prompted(world, refine, multimask=False).json["results"]
    world.services.masks.forget(IMAGE_ID)
    assert prompted(world, refine, multimask=False).json["results"] == first


def test_points_may_lie_outside_the_region_as_far_as_outside_the_image(world: World) -> None:
    ready_region(world)
    assert prompted(world, {"points": [[399, 299], [170, 120]], "labels": [0, 1]}).status_code == 200
    assert prompted(world, {"points": [[-400, 600]], "labels": [1]}).status_code == 200
    far = prompted(world, {"points": [[-401, 0]], "labels": [1]})
    assert (far.status_code, far.json["code"]) == (422, "invalid-prompt")


def test_a_deleted_image_takes_its_regions_with_it(world: World) -> None:
    ready_region(world)
    world.client.post(f"{BASE}/regions?model=other", json={"regions": [PART, [0, 0, 99, 99]]})
    assert prompted(world).status_code == 200  # it is in memory too
    assert world.client.delete(BASE).status_code == 204
    assert world.store.names() == []
    assert world.store.row(regions_key(IMAGE_ID)) == []
    assert (prompted(world).status_code, prompted(world).json["code"]) == (404, "image-not-found")
    with pytest.raises(IndexError):
        world.encode_next()


def test_who_waits_for_a_region_of_an_image_that_is_deleted_hears_of_it(world: World) -> None:
    answers: list[Any] = []
    thread = Thread(target=lambda: answers.append(world.client.get(f"{BASE}?region=100,50,300,250&wait=30")))
    thread.start()
    while world.queue.state(key()).position != 0:
        pass
    assert world.client.delete(BASE).status_code == 204
    thread.join(60)
    assert answers[0].status_code == 404


def test_an_embedding_whose_row_was_evicted_answers_nobody_after_the_deletion(world: World) -> None:
    ready_region(world)
    world.store.delete_together([regions_key(IMAGE_ID)])
    world.client.delete(BASE)
    assert world.store.names() == [key().redis_key]
    for answer in (prompted(world), world.client.get(f"{BASE}/embedding?region=100,50,300,250")):
        assert (answer.status_code, answer.json["code"]) == (404, "image-not-found")


def test_the_region_asked_for_longest_ago_makes_way_beyond_the_cap(make_world: Callable[..., World]) -> None:
    world = make_world(max_regions=2)
    world.ready_image(PHOTO)
    first, second, third = [0, 0, 100, 100], [0, 0, 101, 100], [0, 0, 102, 100]
    for region in (first, second):
        ready_region(world, region)
    world.client.post(f"{BASE}/regions", json={"regions": [first]})  # the second is now the oldest
    world.client.post(f"{BASE}/regions", json={"regions": [third]})
    assert world.store.exists(key(first).redis_key)
    assert not world.store.exists(key(second).redis_key)
    assert world.store.row(regions_key(IMAGE_ID)) == [key(region).region.text for region in (first, third)]  # type: ignore[union-attr]
    assert world.client.get(f"{BASE}?region=0,0,101,100").json["status"] == "queued"


def test_a_waiting_region_that_makes_way_leaves_the_queue(make_world: Callable[..., World]) -> None:
    world = make_world(max_regions=1)
    world.ready_image(PHOTO)
    world.client.post(f"{BASE}/regions", json={"regions": [PART]})
    world.client.post(f"{BASE}/regions", json={"regions": [[0, 0, 99, 99]]})
    world.encode_next()
    assert world.encodes[-1] == key([0, 0, 99, 99])
    with pytest.raises(IndexError):
        world.encode_next()


def test_a_request_for_more_regions_than_are_kept_is_refused(make_world: Callable[..., World]) -> None:
    world = make_world(max_regions=2)
    world.ready_image(PHOTO)
    asked = [[0, 0, 100 + i, 100] for i in range(3)]
    answer = world.client.post(f"{BASE}/regions", json={"regions": asked})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-parameter")
    assert world.client.post(f"{BASE}/regions", json={"regions": [*asked[:2], asked[0]]}).status_code == 202


def test_a_region_counts_as_an_upload_when_it_is_queued(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_uploads="3/hour")
    world.ready_image(PHOTO)
    ready_region(world)
    for _ in range(5):  # what is there, or on its way, costs nothing
        assert prompted(world).status_code == 200
        assert world.client.post(f"{BASE}/regions", json={"regions": [PART]}).status_code == 200
    assert prompted(world, region=[0, 0, 99, 99]).status_code == 409
    for refused in (
        prompted(world, region=[0, 0, 98, 98]),
        world.client.post(f"{BASE}/regions", json={"regions": [[0, 0, 98, 98]]}),
        world.client.get(f"{BASE}?region=0,0,98,98"),
    ):
        assert (refused.status_code, refused.json["code"]) == (429, "rate-limited")
    assert world.client.get(f"{BASE}?region=0,0,99,99").status_code == 200


def test_a_full_queue_refuses_a_region_and_answers_the_image(make_world: Callable[..., World]) -> None:
    world = make_world(max_queued=1)
    world.ready_image(PHOTO)
    assert world.client.post(f"{BASE}/regions", json={"regions": [PART]}).status_code == 202
    refused = prompted(world, region=[0, 0, 99, 99])
    assert (refused.status_code, refused.json["code"]) == (503, "overloaded")
    assert prompted(world, region=None).status_code == 200


def test_an_embedding_of_another_region_in_the_place_of_one_is_dropped(world: World) -> None:
    ready_region(world)
    other = world.store.get(key(None).redis_key)
    assert other is not None
    world.store.put(key().redis_key, other, 60)
    world.services.masks.forget(IMAGE_ID)
    assert prompted(world).status_code == 409
    assert not world.store.exists(key().redis_key)


def test_a_record_that_is_gone_is_noticed_by_a_prompt_on_a_region(world: World) -> None:
    ready_region(world)
    world.services.images.original(IMAGE_ID)
    world.store.delete(record_key(IMAGE_ID))
    assert (prompted(world).status_code, prompted(world).json["code"]) == (404, "image-not-found")


def test_around_answers_the_region_that_holds_the_object(make_world: Callable[..., World]) -> None:
    world = make_world()
    large = Image.new("RGB", (2400, 1600), (20, 90, 160))
    image_id = world.ready_image(as_png(large))
    objects = [[1000, 800, 1040, 830], [1010, 790, 1050, 835], [100, 100, 2000, 1500]]
    answer = world.client.post(f"/v1/images/{image_id}/regions", json={"around": objects})
    first, second, third = (state["region"] for state in answer.json["regions"])
    x0, y0, x1, y1 = first
    assert x0 < 1000
    assert y0 < 800
    assert x1 > 1040
    assert y1 > 830
    assert first == second
    assert third is None
    world.encode_next()
    with pytest.raises(IndexError):
        world.encode_next()


def test_use_cases_take_a_region_too(world: World) -> None:
    ready_region(world)
    query = MasksQuery((), region=(100, 50, 300, 250))
    answer = world.services.masks.answer(IMAGE_ID, FAKE, query, wait=0.0, timings=Stages())
    assert (answer.key, answer.original) == (key(), (HEIGHT, WIDTH))
