"""The sample pictures of the first screen, for people who have no picture at hand."""

from __future__ import annotations

import pytest

from tests.browser.page import Page

SAMPLES = {"coffee": ([205, 190], (600, 400)), "cat": ([225, 140], (451, 300)), "rocket": ([322, 225], (640, 427))}


@pytest.mark.parametrize("name", SAMPLES)
def test_one_click_on_a_sample_gives_its_first_mask(page: Page, name: str) -> None:
    point, (width, height) = SAMPLES[name]
    page.script(f"document.querySelector('[data-sample={name}]').click()")
    page.wait_for_masks(3)
    assert page.text("name") == f"{name}.jpg"
    assert page.text("about").startswith(f"{width} × {height}")
    prompts = [sent["body"] for sent in page.requests("POST", "/masks") if sent["body"]]
    assert f'"points":[{point}]'.replace(" ", "") in prompts[-1].replace(" ", "")
    assert page.marks() == ["point include"]
    assert not page.is_shown("welcome")


def test_a_sample_can_be_chosen_with_the_keyboard_and_is_a_picture_like_any_other(page: Page) -> None:
    page.script("document.querySelector('[data-sample=cat]').focus()")
    page.press("Enter")
    page.wait_for_masks(3)
    page.keep("cat")
    assert page.labels() == ["cat"]
    page.button("undo").click()
    assert page.labels() == []
