"""The click-to-segment page in a real browser, over the whole service."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from tests.browser.page import Page, Pictures

IN_BLOCK = (0.5, 0.5)
IN_FIELD = (0.8, 0.8)
IN_CORNER = (0.1, 0.1)


def _last_prompt(page: Page) -> dict[str, Any]:
    """The body of the last prompt the page sent that was no hover."""
    body: dict[str, Any] = json.loads(page.requests("POST", "/masks")[-1]["body"])
    return body


def _image_id(page: Page) -> str:
    return str(page.requests("POST", "/masks")[-1]["url"].split("/")[-2])


def _click_and_wait(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)


def test_a_click_on_an_uploaded_picture_gives_three_masks_and_chooses_the_best(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    scores = [float(text.removeprefix("score ")) for text in page.scores()]
    assert page.chosen() == int(np.argmax(scores))
    assert page.marks() == ["point include"]
    assert page.text("latency").startswith("Last prompt ")
    assert "· service " in page.text("latency")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
def test_the_mask_on_the_screen_is_the_mask_of_the_answer(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    page.wait_until(lambda: page.requests("POST", "/masks")[-1]["answer"])
    masks = page.requests("POST", "/masks")[-1]["answer"]["results"][0]["masks"]
    for index, answered in enumerate(masks):
        page.choose_mask(index)
        mask = coco.decode(answered["rle"]).astype(bool)
        shown = page.overlay()
        rows = ((np.arange(shown.shape[0]) + 0.5) * mask.shape[0] / shown.shape[0]).astype(int)
        columns = ((np.arange(shown.shape[1]) + 0.5) * mask.shape[1] / shown.shape[1]).astype(int)
        assert np.array_equal(shown, mask[np.ix_(rows, columns)])


def test_a_click_made_while_the_picture_is_still_encoded_is_answered_afterwards(page: Page, pictures: Pictures) -> None:
    page.choose_file(pictures.photo())
    page.wait_until(lambda: page.is_shown("picture"))
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)


@pytest.mark.parametrize("how", [{"right": True}, {"alt": True}])
def test_a_background_click_refines_the_chosen_mask(page: Page, pictures: Pictures, how: dict[str, bool]) -> None:
    _click_and_wait(page, pictures)
    page.choose_mask(0)
    first = page.requests("POST", "/masks")[-1]["answer"]["results"][0]["masks"]
    page.click(*IN_FIELD, **how)
    page.wait_for_masks(1)
    asked = _last_prompt(page)
    assert asked["prompts"][0]["labels"] == [1, 0]
    assert asked["prompts"][0]["mask_token"] == first[0]["mask_token"]
    assert asked["multimask"] is False
    assert page.marks() == ["point include", "point exclude"]


def test_a_drag_asks_with_a_box_in_pixels_of_the_picture(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo((900, 600)))
    page.drag((0.3, 0.25), (0.7, 0.75))
    page.wait_for_masks(3)
    assert _last_prompt(page)["prompts"][0]["box"] == pytest.approx([270, 150, 630, 450], abs=2)
    assert page.marks() == ["box"]


def test_undo_brings_back_the_masks_before_without_asking_the_service(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    before = page.overlay()
    page.click(*IN_FIELD, right=True)
    page.wait_for_masks(1)
    asked = len(page.requests("POST", "/masks"))
    page.press("Control+z")
    assert len(page.scores()) == 3
    assert np.array_equal(page.overlay(), before)
    page.button("undo").click()
    assert page.marks() == []
    assert page.overlay_state() == "empty"
    assert not page.button("undo").is_enabled()
    assert len(page.requests("POST", "/masks")) == asked


def test_clear_takes_everything_away_and_can_be_undone(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    page.button("clear").click()
    assert page.marks() == []
    assert page.scores() == []
    page.button("undo").click()
    assert page.marks() == ["point include"]
    assert len(page.scores()) == 3


def test_a_digit_chooses_a_mask(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    for index in (2, 0, 1):
        page.press(str(index + 1))
        assert page.chosen() == index
        assert f"Mask {index + 1}, score" in page.text("announce")


def test_hovering_previews_a_mask_and_leaving_takes_it_away(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.hover(*IN_BLOCK)
    page.wait_until(lambda: page.overlay_state() == "preview")
    assert page.overlay().any()
    assert page.marks() == []
    page.leave()
    page.wait_until(lambda: page.overlay_state() == "empty")


def test_a_prompt_waits_for_the_one_in_flight_and_only_the_latest_is_asked(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.script("""
        window.mostRunning = 0;
        const gate = new Promise((open) => { window.openGate = open; });
        window.beforeFetch = () => gate.then(() => null);
    """)
    for place in (IN_BLOCK, IN_FIELD, IN_CORNER):
        page.click(*place)
    asked_before_answer = len(page.requests("POST", "/masks"))
    page.script("window.openGate()")
    page.wait_for_masks(3)
    assert asked_before_answer == 1
    assert len(page.requests("POST", "/masks")) == 2
    assert len(_last_prompt(page)["prompts"][0]["points"]) == 3
    assert page.script("return window.mostRunning") == 1


def test_an_answer_to_an_undone_click_is_not_shown(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.script("""
        const gate = new Promise((open) => { window.openGate = open; });
        window.beforeFetch = () => gate.then(() => null);
    """)
    page.click(*IN_BLOCK)
    page.leave()
    page.press("Control+z")
    page.script("window.openGate()")
    page.wait_until(lambda: page.text("latency"))
    assert page.overlay_state() == "empty"
    assert page.scores() == []


def test_a_text_file_is_answered_by_a_sentence(page: Page, pictures: Pictures) -> None:
    page.choose_file(pictures.text())
    page.wait_until(lambda: page.is_shown("alert"))
    assert page.text("alert-text") == ("That file is not a picture this browser can open. Choose a JPEG, PNG or WEBP.")
    assert page.is_shown("welcome")
    page.button("alert-close").click()
    assert not page.is_shown("alert")


def test_a_picture_the_service_refuses_is_answered_by_the_contracts_sentence(page: Page, pictures: Pictures) -> None:
    page.choose_file(pictures.photo(name="moving.gif"))
    page.wait_until(lambda: page.is_shown("alert"))
    assert page.text("alert-text").startswith("This service takes still JPEG, PNG and WEBP pictures.")
    assert not page.is_shown("progress")


def test_a_refused_file_leaves_the_open_picture_as_it_is(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    page.choose_file(pictures.text())
    page.wait_until(lambda: page.is_shown("alert"))
    assert len(page.scores()) == 3
    assert page.text("name") == "photo.jpg"


def test_a_busy_service_is_explained_and_asked_again(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.script("""
        let refusals = 2;  // the first may go to the hover on the way to the click
        window.beforeFetch = async () => refusals-- <= 0 ? null : new Response(
            JSON.stringify({code: "overloaded", status: 503, detail: "the queue is full"}),
            {status: 503, headers: {"Retry-After": "1", "Content-Type": "application/problem+json"}});
        window.told = [];
        new MutationObserver(() => window.told.push(document.getElementById("progress-text").textContent))
            .observe(document.getElementById("progress"), {subtree: true, childList: true, attributes: true});
    """)
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    assert "The service is busy right now." in page.script("return window.told")
    assert not page.is_shown("progress")


def test_a_picture_the_service_has_lost_is_uploaded_again_by_itself(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    image_id = _image_id(page)
    assert httpx.delete(f"{page.service_url}/v1/images/{image_id}").status_code == 204
    page.click(*IN_FIELD)
    page.wait_for_masks(1)
    assert len(page.requests("POST", "v1/images")) == 2
    assert not page.is_shown("alert")


def test_after_a_reload_the_same_picture_is_not_uploaded_again(page: Page, pictures: Pictures) -> None:
    photo = pictures.photo()
    page.open(photo)
    assert len(page.requests("POST", "v1/images")) == 1
    page.load()
    assert page.is_shown("welcome")
    page.open(photo)
    assert page.requests("POST", "v1/images") == []
    assert page.text("origin") == "Known here: nothing was uploaded"
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_can_be_dropped_or_pasted(page: Page, pictures: Pictures, event: str) -> None:
    photo = pictures.photo()
    page.give(photo, event=event)
    page.wait_until(lambda: page.text("origin"))
    assert page.text("name") == "photo.jpg"


def test_everything_works_by_keyboard_alone(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo((900, 600)))
    page.script("document.activeElement.blur()")
    while page.script("return document.activeElement.id") != "picture":
        page.press("Tab")
    page.wait_until(lambda: page.overlay_state() == "preview")
    page.press("Arrow_Right", "Shift+Arrow_Right", "Arrow_Up", "Enter")
    page.wait_for_masks(3)
    assert _last_prompt(page)["prompts"][0]["points"] == [[475, 277]]
    page.press("b", "Arrow_Right", "Arrow_Down", "b")
    page.wait_until(lambda: "box" in page.marks() and page.settled)
    assert _last_prompt(page)["prompts"][0]["box"] == [475, 277, 498, 300]
    page.press("Arrow_Left", "Alt+Enter")
    page.wait_for_masks(1)
    assert _last_prompt(page)["prompts"][0]["labels"] == [1, 0]


def test_a_picture_turned_by_exif_is_upright_in_pixels_the_service_means(page: Page, pictures: Pictures) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    page.open(pictures.photo((900, 600), exif=exif))
    assert page.text("about").startswith("600 × 900")
    page.click(0.9, 0.1)
    page.wait_for_masks(3)
    assert _last_prompt(page)["prompts"][0]["points"][0] == pytest.approx([540, 90], abs=2)


def test_a_large_picture_is_drawn_small_and_prompted_in_its_own_pixels(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo((4000, 3000)))
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    assert _last_prompt(page)["prompts"][0]["points"][0] == pytest.approx([2000, 1500], abs=4)
    assert page.script("return document.getElementById('photo').width") == 2048
    assert max(page.overlay().shape) <= 2048


def test_a_tap_adds_and_with_the_tool_remove_takes_away(page: Page, pictures: Pictures) -> None:
    page.use_screen(390, 844, phone=True)
    page.open(pictures.photo())
    page.tap(*IN_BLOCK)
    page.wait_for_masks(3)
    page.script("document.querySelector('input[value=exclude]').click()")
    page.tap(*IN_FIELD)
    page.wait_for_masks(1)
    assert _last_prompt(page)["prompts"][0]["labels"] == [1, 0]
