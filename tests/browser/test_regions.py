"""Tests of the page with a large picture: its visible part is encoded and answers prompts. The whole service runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image, ImageDraw

from tests.browser.page import Page

SIZE = (3000, 2000)
BLOCK = (1470, 975, 1541, 1038)
"""x0, y0, x1, y1 of a red block. One place of the whole picture's embedding is 47 pixels wide."""

IN_BLOCK = (0.5, 0.5)
BESIDE = (0.53, 0.5)

READY = "The visible part is ready"
PART = "Mask from a part of the picture"
WHOLE = "Mask from the whole picture"

# Holds the requests that have regions encoded until `openGate` is called.
_HOLD = """
const gate = new Promise((open) => { window.openGate = open; });
window.beforeFetch = ({method, url}) => method === "POST" && url.includes("/regions") ? gate.then(() => null) : null;
"""


def _large(folder: Path) -> Path:
    """Write a large green picture with a small red block. It differs from all others."""
    image = Image.new("RGB", SIZE, (40, 150, 60))
    ImageDraw.Draw(image).rectangle((BLOCK[0], BLOCK[1], BLOCK[2] - 1, BLOCK[3] - 1), fill=(210, 40, 40))
    image.putpixel((0, 0), tuple(np.random.default_rng().integers(256, size=3).tolist()))
    path = folder / "large.png"
    image.save(path, compress_level=1)
    return path


def _open_and_zoom(page: Page, picture: Path, hold: bool = False) -> None:
    page.open(picture)
    if hold:
        page.script(_HOLD)
    for _ in range(2):
        page.wheel(*IN_BLOCK, -600)
    page.wait_until(lambda: page.frame()["width"] > 2 * SIZE[0])


def _shown_mask(page: Page) -> dict[str, Any]:
    """Return the chosen mask of the last answer."""
    page.wait_until(lambda: page.requests("POST", "/masks")[-1]["answer"])
    masks = page.requests("POST", "/masks")[-1]["answer"]["results"][0]["masks"]
    mask: dict[str, Any] = masks[page.chosen()]
    return mask


def _ends_with_the_block(mask: dict[str, Any], within: float) -> bool:
    """Return whether each edge of the mask's box is at most `within` pixels away from the block's."""
    x, y, width, height = mask["bbox"]
    return max(abs(a - b) for a, b in zip((x, y, x + width, y + height), BLOCK, strict=True)) <= within


def test_zoomed_in_the_visible_part_is_encoded_and_answers(page: Page, tmp_path: Path) -> None:
    _open_and_zoom(page, _large(tmp_path))
    page.wait_until(lambda: page.text("part") == READY)
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    assert page.text("part") == PART
    [asked] = page.requests("POST", "/regions")
    region = json.loads(asked["body"])["regions"][0]
    assert page.requests("POST", "/masks")[-1]["answer"]["region"] == region
    assert _ends_with_the_block(_shown_mask(page), within=12)

    page.drag((0.5, 0.5), (0.502, 0.502), space=True)
    assert page.text("part") == PART, "a small pan keeps the region"
    page.click(*BESIDE, right=True)
    page.wait_for_masks(1)
    refined = page.requests("POST", "/masks")[-1]
    assert "mask_token" in json.loads(refined["body"])["prompts"][0]
    assert refined["answer"]["region"] == region
    assert len(page.requests("POST", "/regions")) == 1

    page.button("clear").click()
    page.click(*BESIDE)
    page.wait_for_masks(3)
    assert page.text("part") == f"{WHOLE} · the visible part is ready", "the ground goes on outside the region"
    assert page.requests("POST", "/masks")[-1]["answer"]["region"] is None


def test_the_mask_sharpens_in_its_place_when_the_part_is_ready(page: Page, tmp_path: Path) -> None:
    _open_and_zoom(page, _large(tmp_path), hold=True)
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.wait_until(lambda: page.requests("POST", "/regions"))
    assert page.text("part") == f"{WHOLE} · the visible part is being encoded"
    assert not _ends_with_the_block(_shown_mask(page), within=12)
    page.script("""
        window.states = [];
        new MutationObserver(() => window.states.push(document.getElementById("overlay").dataset.state))
            .observe(document.getElementById("overlay"), {attributes: true});
        window.openGate();
    """)
    page.wait_until(lambda: page.text("part") == PART)
    assert page.script("return [...new Set(window.states)]") == ["mask"], "the mask never goes away"
    assert _ends_with_the_block(_shown_mask(page), within=12)
    assert page.text("announce").startswith("Sharper. 3 masks.")
    assert page.marks() == ["point include"]
    page.press("Control+z")
    assert page.marks() == []
    assert not page.button("undo").is_enabled()


def test_a_small_thing_gets_a_finer_mask_without_zooming(page: Page, tmp_path: Path) -> None:
    page.open(_large(tmp_path))
    page.hover(*IN_BLOCK)
    page.wait_until(lambda: page.overlay_state() == "preview")
    page.click(*IN_BLOCK)
    page.wait_until(lambda: page.text("part") == PART)
    assert _ends_with_the_block(_shown_mask(page), within=12)
    wishes = [json.loads(asked["body"]) for asked in page.requests("POST", "/regions")]
    assert [list(wish) for wish in wishes if "around" in wish] == [["around"]], "a preview has no region encoded"


def test_a_mask_that_was_kept_stays_as_it_was_kept(page: Page, tmp_path: Path) -> None:
    _open_and_zoom(page, _large(tmp_path), hold=True)
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("screw")
    page.script("window.openGate()")
    page.wait_until(lambda: page.text("part") == READY)
    page.in_row(0, "edit").click()
    page.wait_for_masks(3)
    assert page.text("part") == f"{WHOLE} · the visible part is ready"


def test_a_part_of_a_picture_that_the_service_has_lost_comes_back_with_it(page: Page, tmp_path: Path) -> None:
    _open_and_zoom(page, _large(tmp_path))
    page.wait_until(lambda: page.text("part") == READY)
    image_id = page.requests("POST", "/regions")[-1]["url"].split("/")[-2]
    assert httpx.delete(f"{page.service_url}/v1/images/{image_id}").status_code == 204
    page.click(*IN_BLOCK)
    page.wait_until(lambda: page.text("part") == PART)
    assert len(page.requests("POST", "v1/images")) == 2
    assert not page.is_shown("alert")
