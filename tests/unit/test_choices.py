"""Remembered choices of regions: bounded, and gone with their image."""

from __future__ import annotations

from dataclasses import replace

from prompt_api.masks.given import RleMask
from prompt_api.service.choices import CAPACITY, AskedOf, Choice, Choices
from prompt_api.service.prompts import ImagePrompt
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE
from shared.contract.region import Region

IMAGE = EmbeddingKey.of("a" * 64, FAKE)
CHOICE = Choice(Region(0, 0, 512, 512), is_guess=False)


def asked(x: float, image: EmbeddingKey = IMAGE) -> AskedOf:
    return AskedOf(image, (ImagePrompt(points=((x, 1.0),), labels=(1,)),), True)


def test_the_same_question_has_the_same_choice_and_no_other_has() -> None:
    choices = Choices()
    choices.put(asked(1), CHOICE)
    assert choices.get(asked(1)) == CHOICE
    assert choices.get(asked(2)) is None
    assert choices.get(replace(asked(1), multimask=False)) is None
    assert choices.get(asked(1, EmbeddingKey.of("b" * 64, FAKE))) is None
    choices.drop(asked(1))
    choices.drop(asked(1))
    assert choices.get(asked(1)) is None


def test_the_oldest_go_beyond_the_capacity() -> None:
    choices = Choices()
    for number in range(CAPACITY + 1):
        choices.put(asked(number), CHOICE)
    assert choices.get(asked(0)) is None
    assert choices.get(asked(1)) == CHOICE


def test_an_image_that_is_forgotten_takes_its_choices_along() -> None:
    choices, other = Choices(), EmbeddingKey.of("b" * 64, FAKE)
    choices.put(asked(1), CHOICE)
    choices.put(asked(1, other), CHOICE)
    choices.forget(IMAGE.image_id)
    assert choices.get(asked(1)) is None
    assert choices.get(asked(1, other)) == CHOICE


def test_large_prompts_and_masks_are_not_kept() -> None:
    many = ImagePrompt(points=((1.0, 1.0),) * 33, labels=(1,) * 33)
    masked = ImagePrompt(points=((1.0, 1.0),), labels=(1,), mask=RleMask((2, 2), "04"))
    one = asked(1).prompts[0]
    for prompts in ((many,), (masked,), (one, one)):
        question = AskedOf(IMAGE, prompts, True)
        choices = Choices()
        choices.put(question, CHOICE)
        assert choices.get(question) is None
