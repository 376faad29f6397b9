"""Which answers are decoded with their padding: those that become mask prompts need it, and no others pay for it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from prompt_api.models.fake.decoder import FakeDecoder, FakePrepared
from prompt_api.models.interface import DecodedMasks, Prompt
from tests.support.world import World, png

CLICK = {"points": [[40, 30]], "labels": [1]}


@dataclass
class StrictDecoder(FakeDecoder):
    """Doubles logits that lack their padding. The masks stay the same, but as a mask prompt they would be wrong."""

    decodings: list[bool] = field(default_factory=list)

    def decode(
        self, image: FakePrepared, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        self.decodings.append(padding)
        answers = super().decode(image, prompts, multimask=multimask)
        return answers if padding else (replace(answer, logits=2 * answer.logits) for answer in answers)


@pytest.fixture
def decoder() -> StrictDecoder:
    return StrictDecoder()


@pytest.fixture
def strict(make_world: Callable[..., World], decoder: StrictDecoder) -> World:
    return make_world(decoder=decoder)


def masks(world: World, image_id: str, *prompts: dict[str, Any], **request: Any) -> list[list[dict[str, Any]]]:
    answer = world.client.post(f"/v1/images/{image_id}/masks", json={"prompts": prompts, **request})
    assert answer.status_code == 200, answer.text
    return [result["masks"] for result in answer.json["results"]]


def test_a_first_prompt_is_decoded_without_its_padding(strict: World, decoder: StrictDecoder) -> None:
    masks(strict, strict.ready_image(png()), CLICK, {"box": [5, 5, 60, 40]}, format="polygons")
    assert decoder.decodings == [False]


def test_logits_are_handed_out_with_their_padding(strict: World, decoder: StrictDecoder, world: World) -> None:
    ours, theirs = (masks(one, one.ready_image(png()), CLICK, format="logits") for one in (strict, world))
    assert decoder.decodings == [True]
    assert ours == theirs


@pytest.mark.parametrize("form", ["rle", "logits"])
def test_a_refinement_starts_from_logits_with_their_padding(
    strict: World, decoder: StrictDecoder, world: World, form: str
) -> None:
    def refine(one: World) -> str:
        image_id = one.ready_image(png())
        first = masks(one, image_id, CLICK, format=form)[0][1]
        refined = {"points": [[50, 30]], "labels": [0], "mask_token": first["mask_token"]}
        return str(masks(one, image_id, refined, format="logits")[0][0]["logits"])

    assert refine(strict) == refine(world)
    assert decoder.decodings == ([False, True, True] if form == "rle" else [True, True])


def test_refining_on_decodes_only_once_more(strict: World, decoder: StrictDecoder) -> None:
    image_id = strict.ready_image(png())
    token = masks(strict, image_id, CLICK)[0][0]["mask_token"]
    for _ in range(2):
        token = masks(strict, image_id, {"points": [[50, 30]], "labels": [0], "mask_token": token})[0][0]["mask_token"]
    assert decoder.decodings == [False, True, True, True]


@pytest.mark.parametrize(
    "large",
    [
        {"mask_logits": base64.b64encode(np.full((256, 256), 3, "<f2").tobytes()).decode()},
        {"points": [[40, 30]] * 33, "labels": [1] * 33},
    ],
    ids=["mask_logits", "many points"],
)
def test_an_answer_that_no_recipe_gives_back_is_stored_with_its_padding(
    strict: World, decoder: StrictDecoder, world: World, large: dict[str, Any]
) -> None:
    def refine(one: World) -> str:
        image_id = one.ready_image(png())
        first = masks(one, image_id, CLICK, large)[1][0]
        one.services.masks.forget(image_id)
        return str(masks(one, image_id, {"mask_token": first["mask_token"]}, format="logits")[0][0]["logits"])

    assert refine(strict) == refine(world)
    assert decoder.decodings == [True, True]
