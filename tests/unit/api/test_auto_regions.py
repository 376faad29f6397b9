"""`"region": "auto"`: the whole image answers at once, and a finer answer follows from a region."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.mask import decode as decode_rle

from prompt_api.models.fake.decoder import FakeDecoder, FakePrepared
from prompt_api.models.interface import DecodedMasks, Prompt
from prompt_api.service.prompts import AUTO, ImagePrompt, MasksQuery
from shared.contract.errors import EncodeFailed, StoreUnavailable
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey, image_key
from shared.contract.models import FAKE
from shared.contract.region import Region
from shared.observe.stages import Stages
from tests.support.world import World, new_world

WIDTH, HEIGHT = 2400, 1600
SQUARE = (1000, 800, 1060, 860)
"""A small red square on blue."""

STRIP = (1500, 200, 2200, 260)
"""A long thin thing."""

CLICK = {"points": [[1030, 830]], "labels": [1]}


def photo() -> Image.Image:
    """A picture with a small square, a large one, and one that a region around its middle does not hold."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (20, 90, 160))
    image.paste((220, 30, 30), SQUARE)
    image.paste((30, 220, 30), (100, 100, 900, 700))
    image.paste((220, 220, 20), STRIP)
    return image


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PHOTO = as_png(photo())
IMAGE_ID = hashlib.sha256(PHOTO).hexdigest()
MASKS = f"/v1/images/{IMAGE_ID}/masks"


@pytest.fixture
def world() -> World:
    """A world in which the whole photo is encoded."""
    world = new_world()
    assert world.ready_image(PHOTO) == IMAGE_ID
    return world


def asked(world: World, *prompts: dict[str, Any], region: object = "auto", wait: float = 0, **members: Any) -> Any:
    body = {"prompts": list(prompts or [CLICK]), "region": region, **members}
    answer = world.client.post(f"{MASKS}?wait={wait}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json


def area_beside(mask: dict[str, Any], box: tuple[int, int, int, int]) -> int:
    """Pixels in which the mask is not the rectangle."""
    expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected[box[1] : box[3], box[0] : box[2]] = True
    return int((np.asarray(decode_rle(mask["rle"]), dtype=bool) != expected).sum())


def test_the_first_answer_is_the_whole_images_and_names_what_will_be_finer(world: World) -> None:
    first = asked(world)
    plain = asked(world, region=None)
    assert (first["region"], first["results"]) == (None, plain["results"])
    assert "finer" not in plain
    assert first["finer"]["status"] == "queued"
    x0, y0, x1, y1 = first["finer"]["region"]
    assert x0 < SQUARE[0]
    assert y0 < SQUARE[1]
    assert x1 > SQUARE[2]
    assert y1 > SQUARE[3]


def test_the_finer_answer_replaces_it_once_the_region_is_encoded(world: World) -> None:
    coarse = asked(world)
    world.encode_next()
    fine = asked(world)
    assert fine["region"] == coarse["finer"]["region"]
    assert fine["finer"] is None
    assert fine["results"] == asked(world, region=fine["region"])["results"]
    before, after = (area_beside(answer["results"][0]["masks"][0], SQUARE) for answer in (coarse, fine))
    assert after < before / 3
    with pytest.raises(IndexError):
        world.encode_next()


def test_a_request_that_waits_gets_the_finer_answer(world: World) -> None:
    answers: list[Any] = []
    thread = Thread(target=lambda: answers.append(asked(world, wait=20)))
    thread.start()
    while not [state for state in world.queue.waiting if state.region is not None]:
        pass
    (key,) = world.queue.waiting
    world.encode_next()
    world.events.publish(key, "ready")
    thread.join(60)
    assert key.region is not None
    assert (answers[0]["region"], answers[0]["finer"]) == (list(key.region.corners), None)


def test_a_wait_that_ends_first_gets_the_whole_images_answer(world: World) -> None:
    answer = asked(world, wait=0.05)
    assert (answer["region"], answer["finer"]["status"]) == (None, "queued")
    assert answer["results"] == asked(world, region=None)["results"]


def test_clicks_while_the_region_is_encoded_queue_it_once(world: World) -> None:
    first = asked(world)
    for _ in range(3):
        assert asked(world)["finer"] == first["finer"]
    world.encode_next()
    with pytest.raises(IndexError):
        world.encode_next()


def test_a_box_needs_no_look_at_the_whole_images_masks(world: World) -> None:
    prompt = {"box": list(SQUARE)}
    coarse = asked(world, prompt)
    assert coarse["results"] == asked(world, prompt, region=None)["results"]
    world.encode_next()
    fine = asked(world, prompt)
    assert fine["region"] == coarse["finer"]["region"]


def test_something_large_is_answered_by_the_whole_image_alone(world: World) -> None:
    for prompt in ({"points": [[500, 400]], "labels": [1]}, {"box": [100, 100, 900, 700]}):
        answer = asked(world, prompt)
        assert (answer["region"], answer["finer"]) == (None, None)
    with pytest.raises(IndexError):
        world.encode_next()


def test_a_small_picture_has_no_regions(make_world: Callable[..., World]) -> None:
    world = make_world()
    image = Image.new("RGB", (300, 200), (20, 90, 160))
    image.paste((220, 30, 30), (100, 100, 110, 110))
    image_id = world.ready_image(as_png(image))
    body = {"prompts": [{"points": [[105, 105]], "labels": [1]}], "region": "auto"}
    answer = world.client.post(f"/v1/images/{image_id}/masks", json=body).json
    assert (answer["region"], answer["finer"]) == (None, None)


class Counting(FakeDecoder):
    """Counts the prompts that it decodes."""

    prompts = 0

    def decode(
        self, image: FakePrepared, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        self.prompts += len(prompts)
        return super().decode(image, prompts, multimask=multimask, padding=padding)


class Shy(FakeDecoder):
    """A decoder that sees little of an object in the whole image, as a real one does of small things."""

    def __init__(self) -> None:
        self._whole: list[FakePrepared] = []

    def prepare(self, tensors: Mapping[str, NDArray[np.float32]], original: Size) -> FakePrepared:
        prepared = super().prepare(tensors, original)
        if original == (HEIGHT, WIDTH):
            self._whole.append(prepared)
        return prepared

    def decode(
        self, image: FakePrepared, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        for prompt, answer in zip(prompts, super().decode(image, prompts, multimask=multimask), strict=True):
            if image in self._whole:
                x, y = (int(value) // 4 for value in prompt.points[0])
                logits = np.full_like(answer.logits, -10)
                logits[:, y - 1 : y + 2, x - 1 : x + 2] = 10
                yield DecodedMasks(logits, answer.scores)
            else:
                yield answer


def test_a_mask_that_reaches_the_edge_of_its_region_is_asked_of_a_larger_one(make_world: Callable[..., World]) -> None:
    world = make_world(decoder=Shy())
    world.ready_image(PHOTO)
    click = {"points": [[1850, 230]], "labels": [1]}
    small = asked(world, click)["finer"]["region"]
    world.encode_next()
    cut = asked(world, click, region=small)["results"][0]["masks"][0]
    assert (cut["bbox"][0], cut["bbox"][2]) == (small[0], small[2] - small[0])  # the strip is longer than the region
    coarse = asked(world, click)
    assert (coarse["region"], coarse["results"]) == (None, asked(world, click, region=None)["results"])
    large = coarse["finer"]["region"]
    assert large[2] - large[0] > small[2] - small[0]
    world.encode_next()
    fine = asked(world, click)
    assert (fine["region"], fine["finer"]) == (large, None)
    assert area_beside(fine["results"][0]["masks"][0], STRIP) < 20_000


def test_who_asks_again_is_answered_without_a_look_at_the_whole_image(make_world: Callable[..., World]) -> None:
    decoder = Counting()
    world = make_world(decoder=decoder)
    world.ready_image(PHOTO)
    asked(world)
    world.encode_next()
    decoder.prompts = 0
    fine = asked(world)
    assert fine["region"] is not None
    assert decoder.prompts == 1
    asked(world, {"points": [[1031, 831]], "labels": [1]})
    assert decoder.prompts == 3  # another click: what it means is seen in the whole image


def test_a_guess_counts_only_if_it_shows_a_thing(make_world: Callable[..., World]) -> None:
    world = make_world()
    image = Image.new("RGB", (WIDTH, HEIGHT), (20, 90, 160))
    image_id = world.ready_image(as_png(image))

    def auto(x: float, y: float) -> Any:
        body = {"prompts": [{"points": [[x, y]], "labels": [1]}], "region": "auto"}
        return world.client.post(f"/v1/images/{image_id}/masks", json=body).json

    ground = auto(400, 400)
    assert ground["region"] is None
    assert max(ground["finer"]["region"][2:]) <= 1024
    world.encode_next()
    answer = auto(400, 400)  # the region is full of ground, so the whole image answers, and nothing larger is tried
    assert (answer["region"], answer["finer"], answer["results"]) == (None, None, ground["results"])
    with pytest.raises(IndexError):
        world.encode_next()


def test_several_prompts_share_a_region_that_holds_them_all(world: World) -> None:
    other = {"box": [1100, 820, 1140, 880]}
    coarse = asked(world, CLICK, other)
    x0, _, x1, _ = coarse["finer"]["region"]
    assert x0 < SQUARE[0]
    assert x1 > other["box"][2]
    world.encode_next()
    fine = asked(world, CLICK, other)
    assert fine["region"] == coarse["finer"]["region"]
    assert len(fine["results"]) == 2


def test_prompts_all_over_the_image_are_answered_by_the_whole_image(world: World) -> None:
    answer = asked(world, {"box": [10, 10, 50, 50]}, {"box": [2300, 1500, 2350, 1550]})
    assert (answer["region"], answer["finer"]) == (None, None)


def test_a_refinement_stays_where_its_token_comes_from(world: World) -> None:
    coarse = asked(world)
    token = coarse["results"][0]["masks"][0]["mask_token"]
    world.encode_next()
    refined = asked(world, {**CLICK, "mask_token": token})
    assert (refined["region"], refined["finer"]) == (None, None)
    fine = asked(world)
    token = fine["results"][0]["masks"][0]["mask_token"]
    assert asked(world, {**CLICK, "mask_token": token})["region"] == fine["region"]


def test_a_token_of_nonsense_is_refused(world: World) -> None:
    for token in ("nonsense", "r!", "s", "rq1YqSyxSslIyNDQyMDQ2MrOwNDMxMzU3Mk9KTDE1SzUwNLY0NFGK1VFKzs"):
        body = {"prompts": [{**CLICK, "mask_token": token}], "region": "auto"}
        answer = world.client.post(MASKS, json=body)
        assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")


def test_logits_belong_to_the_whole_image(world: World) -> None:
    logits = asked(world, region=None, format="logits")["results"][0]["masks"][0]["logits"]
    answer = asked(world, {**CLICK, "mask_logits": logits})
    assert (answer["region"], answer["finer"]) == (None, None)


def test_without_the_images_bytes_the_whole_image_answers(world: World) -> None:
    world.store.delete(image_key(IMAGE_ID))
    answer = asked(world)
    assert (answer["region"], answer["finer"]) == (None, None)


def test_with_a_full_queue_the_whole_image_answers(make_world: Callable[..., World]) -> None:
    world = make_world(max_queued=1)
    world.ready_image(PHOTO)
    world.client.post("/v1/images", data=as_png(Image.new("RGB", (50, 50))))
    answer = asked(world)
    assert (answer["region"], answer["finer"]) == (None, None)


def test_beyond_the_rate_of_uploads_the_whole_image_answers(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_uploads="1/hour")
    world.ready_image(PHOTO)
    answer = asked(world)
    assert (answer["region"], answer["finer"]) == (None, None)
    assert not world.queue.waiting


def test_a_region_that_failed_is_told_and_the_whole_image_answers(world: World) -> None:
    asked(world)

    def encode(key: EmbeddingKey) -> None:
        raise EncodeFailed("out of memory")

    while world.queue.waiting:
        world.queue.run_next(encode)
    answer = asked(world, wait=20)
    assert (answer["region"], answer["finer"]["status"]) == (None, "failed")


def test_while_redis_is_away_the_whole_image_answers_from_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(world, region=None)

    def fail(*_: object) -> None:
        raise StoreUnavailable("away")

    for name in ("get", "exists", "renew_in_row"):
        monkeypatch.setattr(world.store, name, fail)
    answer = asked(world)
    assert (answer["region"], answer["finer"]) == (None, None)


def test_a_prompt_outside_the_image_is_refused_as_ever(world: World) -> None:
    body = {"prompts": [{"box": [9000, 0, 9100, 50]}], "region": "auto"}
    answer = world.client.post(MASKS, json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")


def test_use_cases_are_told_what_would_be_finer(world: World) -> None:
    query = MasksQuery((ImagePrompt(points=((1030, 830),), labels=(1,)),), region=AUTO)
    answer = world.services.masks.answer(IMAGE_ID, FAKE, query, wait=0.0, timings=Stages())
    assert answer.finer is not None
    assert isinstance(answer.finer.key.region, Region)
    world.encode_next()
    answer = world.services.masks.answer(IMAGE_ID, FAKE, query, wait=0.0, timings=Stages())
    assert (answer.finer, answer.key.region is not None) == (None, True)
