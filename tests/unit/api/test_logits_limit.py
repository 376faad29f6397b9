"""A model may limit the logits that it returns. The limit holds for what leaves the decoder, not for the masks."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prompt_api.models.fake.decoder import FakeDecoder, FakePrepared
from prompt_api.models.interface import DecodedMasks, Prompt
from tests.support.world import World, png

CLICK = {"points": [[40, 30]], "labels": [1]}
TOO_LARGE_FOR_A_RECIPE = {"points": [[40, 30]] * 33, "labels": [1] * 33}
LIMIT = 0.25


@dataclass
class LimitedDecoder(FakeDecoder):
    """Limits its logits, which are up to 2, and remembers the mask prompts."""

    masks: list[NDArray[np.float32]] = field(default_factory=list)

    def decode(
        self, image: FakePrepared, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        self.masks += [prompt.mask for prompt in prompts if prompt.mask is not None]
        answers = super().decode(image, prompts, multimask=multimask, padding=padding)
        return (replace(answer, limit=LIMIT) for answer in answers)


@pytest.fixture
def decoder() -> LimitedDecoder:
    return LimitedDecoder()


@pytest.fixture
def limited(make_world: Callable[..., World], decoder: LimitedDecoder) -> World:
    return make_world(decoder=decoder)


def first_mask(world: World, image_id: str, prompt: dict[str, Any], **request: Any) -> dict[str, Any]:
    answer = world.client.post(f"/v1/images/{image_id}/masks", json={"prompts": [prompt], **request})
    assert answer.status_code == 200, answer.text
    mask: dict[str, Any] = answer.json["results"][0]["masks"][0]
    return mask


def largest(logits: str) -> float:
    return float(np.abs(np.frombuffer(base64.b64decode(logits), "<f2").astype(np.float32)).max())


def test_logits_that_are_handed_out_are_limited(limited: World) -> None:
    image_id = limited.ready_image(png())
    assert largest(first_mask(limited, image_id, CLICK, format="logits")["logits"]) == LIMIT
    assert largest(first_mask(limited, image_id, CLICK, logits=True)["logits"]) == LIMIT


@pytest.mark.parametrize("request_fields", [{}, {"format": "logits"}, {"logits": True}])
def test_masks_are_made_without_the_limit(limited: World, world: World, request_fields: dict[str, Any]) -> None:
    ours, theirs = (first_mask(one, one.ready_image(png()), CLICK, **request_fields) for one in (limited, world))
    assert (ours["area"], ours["bbox"]) == (theirs["area"], theirs["bbox"])


@pytest.mark.parametrize("prompt", [CLICK, TOO_LARGE_FOR_A_RECIPE], ids=["recipe", "stored"])
@pytest.mark.parametrize("handed_out", [True, False])
def test_a_mask_token_stands_for_limited_logits(
    limited: World, decoder: LimitedDecoder, prompt: dict[str, Any], handed_out: bool
) -> None:
    image_id = limited.ready_image(png())
    token = first_mask(limited, image_id, prompt, logits=handed_out)["mask_token"]
    first_mask(limited, image_id, {**CLICK, "mask_token": token})
    assert np.abs(decoder.masks[-1]).max() == LIMIT


def test_stored_logits_are_limited_for_other_processes(
    limited: World, decoder: LimitedDecoder, make_world: Callable[..., World]
) -> None:
    image_id = limited.ready_image(png())
    token = first_mask(limited, image_id, TOO_LARGE_FOR_A_RECIPE)["mask_token"]
    first_mask(make_world(decoder=decoder, store=limited.store), image_id, {**CLICK, "mask_token": token})
    assert np.abs(decoder.masks[-1]).max() == LIMIT
