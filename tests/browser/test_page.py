"""Tests of the click-to-segment page in a real browser, with the whole service."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

from tests.browser.page import Page, Pictures

IN_BLOCK = (0.5, 0.5)
IN_FIELD = (0.8, 0.8)
IN_CORNER = (0.1, 0.1)


def _last_prompt(page: Page) -> dict[str, Any]:
    """Return the body of the last prompt that the page sent, previews left out."""
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
    masks = page.requests("POST", "/masks")[-1]["answer"]["results"][0]["masks"]
    for index, answered in enumerate(masks):
        page.choose_mask(index)
        mask = coco.decode(answered["rle"]).astype(bool)
        assert (page.overlay() != page.expected_overlay(mask)).mean() < 1e-4


def test_a_click_made_while_the_picture_is_still_encoded_is_answered_afterwards(page: Page, pictures: Pictures) -> None:
    page.choose_files(pictures.photo())
    page.wait_until(lambda: page.is_shown("stage"))
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


def _exclude_by_tool(page: Page) -> None:
    page.choose_tool("exclude")
    page.click(*IN_FIELD)
    page.choose_tool("include")


def _exclude_by_keyboard(page: Page) -> None:
    page.tab_to("stage")
    page.press("Arrow_Right", "Alt+Enter")


EXCLUDE: dict[str, Callable[[Page], None]] = {
    "right click": lambda page: page.click(*IN_FIELD, right=True),
    "Alt and click": lambda page: page.click(*IN_FIELD, alt=True),
    "the tool": _exclude_by_tool,
    "the keyboard": _exclude_by_keyboard,
}


@pytest.mark.parametrize("exclude", EXCLUDE.values(), ids=EXCLUDE)
def test_a_first_click_that_says_not_this_selects_nothing(
    page: Page, pictures: Pictures, exclude: Callable[[Page], None]
) -> None:
    page.open(pictures.photo())
    exclude(page)
    page.wait_until(lambda: page.marks() == ["point exclude"])
    assert page.settled
    assert page.scores() == []
    assert not page.overlay().any()
    assert not page.button("keep").is_enabled()
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    assert _last_prompt(page)["prompts"][0]["labels"] == [0, 1]
    page.button("undo").click()
    page.wait_for_masks(0)


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
    page.wait_until(lambda: page.text("local-note"))  # then the page sends no other requests
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
    page.choose_files(pictures.text())
    page.wait_until(lambda: page.is_shown("alert"))
    sentence = (
        "This browser cannot open that file as a picture. Choose a JPEG, PNG, WEBP, TIFF, BMP, AVIF or HEIC. "
        "Left out: notes.txt."
    )
    assert page.text("alert-text") == sentence
    assert page.is_shown("welcome")
    page.button("alert-close").click()
    assert not page.is_shown("alert")


def test_a_picture_the_service_refuses_is_answered_by_the_contracts_sentence(page: Page, pictures: Pictures) -> None:
    page.choose_files(pictures.photo(name="moving.gif"))
    page.wait_until(lambda: page.is_shown("alert"))
    assert page.text("alert-text").startswith(
        "This service accepts only still pictures: JPEG, PNG, WEBP, TIFF, BMP, AVIF or HEIC."
    )
    assert not page.is_shown("progress")


def test_a_refused_file_leaves_the_open_picture_as_it_is(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    page.choose_files(pictures.text())
    page.wait_until(lambda: page.is_shown("alert"))
    assert len(page.scores()) == 3
    assert page.text("name") == "photo.jpg"


def test_a_busy_service_is_explained_and_asked_again(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.script("""
        window.told = [];
        const busy = "The service is busy right now.";  // refusals of the hover on the way to the click are not told
        window.beforeFetch = async () => window.told.includes(busy) ? null : new Response(
            JSON.stringify({code: "overloaded", status: 503, detail: "the queue is full"}),
            {status: 503, headers: {"Retry-After": "1", "Content-Type": "application/problem+json"}});
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
    assert page.text("origin") == "Already known: nothing was uploaded"
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
    page.tab_to("stage")
    page.wait_until(lambda: page.overlay_state() == "preview")
    stride = round(20 / (page.frame()["width"] / 900))
    fine = round(2 / (page.frame()["width"] / 900))
    page.press("Arrow_Right", "Shift+Arrow_Right", "Arrow_Up")
    x, y = 450 + stride + fine, 300 - stride
    page.wait_until(lambda: page.text("announce").startswith(f"At {x}, {y}: Mask 1, score"))
    page.press("Enter")
    page.wait_for_masks(3)
    assert _last_prompt(page)["prompts"][0]["points"] == [[x, y]]
    page.press("b", "Arrow_Right", "Arrow_Down", "b")
    page.wait_until(lambda: "box" in page.marks() and page.settled)
    assert _last_prompt(page)["prompts"][0]["box"] == [x, y, x + stride, y + stride]
    page.press("Arrow_Left", "Alt+Enter")
    page.wait_for_masks(1)
    assert _last_prompt(page)["prompts"][0]["labels"] == [1, 0]
    page.press("l")
    assert page.focused == "label"
    page.press("d", "o", "g", "Enter")
    assert page.labels() == ["dog"]
    assert page.text("announce") == "Kept. 1 object."
    page.tab_to("export")
    page.press("Enter")
    page.wait_until(lambda: page.is_shown("export-dialog"))
    page.dismiss()
    assert page.focused == "export"


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
    assert max(page.overlay().shape) <= 2048


def test_redo_brings_back_what_was_undone_without_asking_the_service(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    before = page.overlay()
    asked = len(page.requests("POST", "/masks"))
    page.button("undo").click()
    assert page.marks() == []
    page.press("Control+Shift+z")
    assert page.marks() == ["point include"]
    assert np.array_equal(page.overlay(), before)
    assert not page.button("redo").is_enabled()
    assert len(page.requests("POST", "/masks")) == asked


def test_a_click_where_the_pointer_rested_shows_what_the_preview_promised(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.hover(*IN_BLOCK)
    page.wait_until(lambda: page.overlay_state() == "preview")
    asked = len(page.requests("POST", "/masks"))
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    assert len(page.requests("POST", "/masks")) == asked


def test_each_preview_leaves_a_measure_of_how_far_it_lagged(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.hover(*IN_BLOCK)
    page.wait_until(lambda: page.overlay_state() == "preview")
    lags = page.script("return performance.getEntriesByName('hover-lag').map((entry) => entry.duration)")
    assert lags
    assert min(lags) >= 0


def test_objects_are_kept_labelled_hidden_coloured_changed_and_deleted(page: Page, pictures: Pictures) -> None:
    _click_and_wait(page, pictures)
    page.keep("block")
    assert page.marks() == []
    page.click(*IN_FIELD)
    page.wait_for_masks(3)
    page.keep("field")
    assert page.labels() == ["block", "field"]
    page.wait_until(lambda: page.overlay("kept").any())

    page.in_row(0, "show").click()
    page.in_row(1, "show").click()
    page.leave()
    page.wait_until(lambda: not page.overlay("kept").any())
    page.in_row(1, "show").click()

    page.in_row(1, "edit").click()
    assert page.text("keep") == "Update"
    assert page.script("return document.getElementById('label').value") == "field"
    assert page.marks() == ["point include"]
    page.choose_mask(0)
    page.keep("meadow")
    assert page.labels() == ["block", "meadow"]

    page.script(
        "const s = document.querySelectorAll('.swatch')[0]; s.value = '#123456'; s.dispatchEvent(new Event('change'))"
    )
    page.in_row(1, "delete").click()
    assert page.labels() == ["block"]
    page.press("Control+z")
    assert page.labels() == ["block", "meadow"]
    assert page.script("return document.querySelector('.swatch').value") == "#123456"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
def test_what_is_exported_are_the_masks_of_the_service(page: Page, pictures: Pictures, tmp_path: Path) -> None:
    _click_and_wait(page, pictures)
    answered = page.requests("POST", "/masks")[-1]["answer"]["results"][0]["masks"][page.chosen()]
    mask = coco.decode(answered["rle"]).astype(bool)
    page.keep("block")
    dataset = COCO(str(page.download("coco", tmp_path, "coco.json")))
    (annotation,) = dataset.loadAnns(dataset.getAnnIds())
    assert np.array_equal(dataset.annToMask(annotation).astype(bool), mask)
    assert page.text("announce") == "Saved coco.json."
    with zipfile.ZipFile(page.download("png", tmp_path, "masks.zip")) as archive:
        assert archive.namelist() == ["photo/01-block.png"]
        with Image.open(io.BytesIO(archive.read("photo/01-block.png"))) as image:
            assert np.array_equal(np.asarray(image), mask)
    with zipfile.ZipFile(page.download("yolo", tmp_path, "yolo.zip")) as archive:
        assert archive.read("labels/photo.txt").decode().startswith("0 ")


def test_several_pictures_keep_their_own_prompts_and_objects(page: Page, pictures: Pictures, tmp_path: Path) -> None:
    first, second = pictures.photo(name="first.jpg"), pictures.photo((600, 900), name="second.jpg")
    page.open(first, second)
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("block")
    page.click(*IN_FIELD)
    page.wait_for_masks(3)
    page.wait_until(lambda: "object" in page.thumbnail_labels()[1])
    page.thumbnails()[1].click()
    page.wait_until(lambda: page.text("name") == "second.jpg")
    assert page.marks() == []
    assert page.labels() == []
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    assert _last_prompt(page)["prompts"][0]["points"][0] == pytest.approx([300, 450], abs=2)
    page.keep("block")
    page.press("p")
    page.wait_until(lambda: page.text("name") == "first.jpg")
    assert page.marks() == ["point include"]
    assert page.labels() == ["block"]
    images = json.loads(page.download("coco", tmp_path, "coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["first.jpg", "second.jpg"]
    page.script("document.querySelector('.frame-remove').click()")
    page.wait_until(lambda: page.text("name") == "second.jpg")
    assert not page.is_shown("strip")


def test_progress_tells_the_place_in_the_queue(page: Page, pictures: Pictures) -> None:
    page.script("""
        window.told = [];
        new MutationObserver(() => window.told.push(document.getElementById("progress").textContent))
            .observe(document.getElementById("progress"), {subtree: true, childList: true, attributes: true});
        const queued = (ahead) => JSON.stringify({image_id: "0".repeat(64), status: "queued", queue_position: ahead});
        window.beforeFetch = async ({url}) => {
            if (url.endsWith("?wait=0")) return new Response(queued(3));
            if (url.endsWith("/events")) return new Response(`event: queued\ndata: ${queued(0)}\n\n`);
            return null;
        };
    """)
    page.open(pictures.photo())
    told = [" ".join(text.split()) for text in page.script("return window.told")]
    assert "Waiting for its turn 3 ahead of it" in told
    assert "Waiting for its turn next in the queue" in told


def test_after_zooming_and_moving_a_click_means_the_pixel_under_it(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo((4000, 3000)))
    fitted = page.frame()
    page.wheel(0.6, 0.4, -800)
    page.wait_until(lambda: page.frame()["width"] > 3 * fitted["width"])
    page.drag((0.6, 0.4), (0.58, 0.42), space=True)
    page.click(0.6, 0.4)
    page.wait_for_masks(3)
    pixel = 4000 / page.frame()["width"]
    assert _last_prompt(page)["prompts"][0]["points"][0] == pytest.approx([2400, 1200], abs=pixel)
    assert len(page.marks()) == 1
    mask = coco.decode(page.requests("POST", "/masks")[-1]["answer"]["results"][0]["masks"][page.chosen()]["rle"])
    assert (page.overlay() != page.expected_overlay(mask.astype(bool))).mean() < 1e-3
    page.press("a")
    assert page.text("zoom-level") == "100 %"
    assert page.frame()["width"] == pytest.approx(4000)
    page.press("f")
    assert page.frame() == pytest.approx(fitted)


def test_two_fingers_zoom_and_a_tool_turns_taps_around(page: Page, pictures: Pictures) -> None:
    page.use_screen(390, 844, phone=True)
    page.open(pictures.photo())
    fitted = page.frame()
    page.pinch(0.5, 0.5, apart=3)
    page.wait_until(lambda: page.frame()["width"] == pytest.approx(3 * fitted["width"], rel=0.05))
    assert page.marks() == []
    page.tap(*IN_BLOCK)
    page.wait_for_masks(3)
    page.choose_tool("exclude")
    page.tap(0.55, 0.45)
    page.wait_for_masks(1)
    assert _last_prompt(page)["prompts"][0]["labels"] == [1, 0]


def test_a_service_that_wants_a_token_is_given_one(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.wait_until(lambda: page.text("local-note"))  # then the page sends no other requests
    page.script("""
        window.beforeFetch = async ({token}) => token === "Bearer right" ? null : new Response(
            JSON.stringify({code: "unauthorized", status: 401, detail: "a token is needed"}), {status: 401});
    """)
    page.hover(*IN_BLOCK)
    page.wait_until(lambda: page.is_shown("token-dialog"))
    page.write("token", "wrong")
    page.press("Enter")
    page.wait_until(lambda: "did not accept" in page.text("token-text") and page.is_shown("token-dialog"))
    page.write("token", "right")
    page.press("Enter")
    page.wait_until(lambda: not page.is_shown("token-dialog"))
    page.click(*IN_FIELD)
    page.wait_for_masks(3)
    assert page.requests("POST", "/masks")[-1]["token"] == "Bearer right"


def test_decoding_here_is_not_offered_for_a_model_that_cannot_be_downloaded(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.wait_until(lambda: page.text("local-note"))
    assert page.text("local-note").endswith("has no decoder for browsers.")
    assert not page.button("local").is_enabled()


def test_help_opens_by_its_key_and_can_switch_single_letters_off(page: Page, pictures: Pictures) -> None:
    page.load()
    page.press("?")
    assert page.is_shown("help-dialog")
    page.button("letters").click()
    page.dismiss()
    assert not page.is_shown("help-dialog")
    page.press("?")
    assert not page.is_shown("help-dialog")
    page.button("help").click()
    page.button("letters").click()


def test_light_and_dark_can_be_chosen_and_stay_chosen(page: Page) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = page.script(ground)
    page.button("theme").click()
    dark = page.script(ground)
    assert dark != light
    page.load()
    assert page.script(ground) == dark
    page.button("theme").click()
    assert page.script(ground) == light
