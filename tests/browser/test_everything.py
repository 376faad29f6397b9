"""Tests of the page's mode "every mask". The whole service runs, with a mask worker."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.browser.page import Page, Pictures

# The model that needs no weights gives blurred masks. Looser options of the search find several things of the picture.
# The masks come from the service as ever.
_LOOSE = """
const loose = JSON.stringify({points_per_side: 8, pred_iou_thresh: 0.5, stability_score_thresh: 0.5});
window.beforeFetch = async ({method, url, body}) => method === "POST" && url.includes("/everything") && body !== loose
  ? window.fetch(url, {method, body: loose, headers: {"Content-Type": "application/json"}})
  : null;
"""

# Holds the requests for the masks until `openGate` is called. As far as the page knows the job waits for its turn: the
# worker may have begun or ended it by the time the page hears of it.
_HOLD = """
const before = window.beforeFetch;
const gate = new Promise((open) => { window.openGate = open; });
window.beforeFetch = async (asked) => {
  if (/everything\\/[0-9a-f]+(\\/events)?$/.test(asked.url) && asked.method === "GET") await gate;
  const response = await before(asked);
  if (response === null) return null;
  const job = {...await response.json(), status: "queued", workers: null, masks: undefined};
  return new Response(JSON.stringify(job), {headers: {"Content-Type": "application/json"}});
};
"""

IN_BLOCK = (0.5, 0.5)
IN_CORNER = (0.1, 0.1)
IN_FIELD = (0.8, 0.85)


def _search(page: Page, pictures: Pictures, press: str | None = None) -> None:
    """Open a picture, have every mask of it found, and wait for the end."""
    page.open(pictures.photo())
    page.script(_LOOSE)
    if press:
        page.press(press)
    else:
        page.button("everything").click()
    page.wait_until(lambda: page.text("everything-text") == "3 masks to keep.")


def _lit(page: Page) -> int:
    """Return how many pixels of the canvas the lit mask covers."""
    return int(page.overlay().sum())


def _masks(page: Page) -> list[dict[str, Any]]:
    """Return the masks of the last answer."""
    answers = [one["answer"] for one in page.script("return window.asked") if "/everything" in one["url"]]
    masks: list[dict[str, Any]] = [one for one in answers if one and one.get("masks")][-1]["masks"]
    return masks


def test_hovering_lights_a_mask_and_clicking_keeps_it(page: Page, pictures: Pictures) -> None:
    _search(page, pictures)
    assert page.button("everything").get_attribute("aria-pressed") == "true"
    page.hover(*IN_FIELD)
    large = _lit(page)
    page.hover(*IN_BLOCK)
    assert 0 < _lit(page) < large, "the smallest mask at the place"
    assert page.requests("POST", "/masks") == [], "a found mask needs no prompt"

    page.write("label", "block")
    page.click(*IN_BLOCK)
    page.click(*IN_CORNER)
    assert page.labels() == ["block", "block"]
    assert page.text("everything-text") == "1 mask to keep."
    page.press("Control+z")
    assert page.labels() == ["block"]
    assert page.text("everything-text") == "2 masks to keep.", "what was undone is offered again"
    page.click(*IN_CORNER)

    page.press("Escape")
    assert not page.is_shown("everything-row")
    assert page.script("return document.getElementById('found').dataset.count") == "0"
    assert page.labels() == ["block", "block"]
    assert page.requests("DELETE", "") == [], "a search that has ended is not stopped"
    kept = page.script("return document.getElementById('kept').dataset.count")
    assert kept == "2"


def test_the_keyboard_goes_through_the_masks_and_keeps_them(page: Page, pictures: Pictures) -> None:
    _search(page, pictures, press="s")
    page.wait_until(lambda: page.text("announce").startswith("Found 3 masks. Comma and full stop go through them"))
    page.press(".")
    assert page.focused == "stage"
    assert page.text("announce").startswith("1 of 3, score 0.")
    assert page.overlay_state() == "mask"
    page.press(".")
    assert page.text("announce").startswith("2 of 3, score 0.")
    page.press(",", "Enter")
    assert page.text("announce") == "Kept. 1 object."
    page.press(".", "k")
    assert page.text("announce") == "Kept. 2 objects."
    page.press(".", "1")
    assert page.labels() == ["object"] * 3
    assert page.text("everything-text") == "0 masks to keep."
    page.press("s")
    assert not page.is_shown("everything-row")
    assert len(page.labels()) == 3


def test_a_search_that_is_left_is_stopped_and_other_pictures_have_none(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.script(_LOOSE)
    page.script(_HOLD)
    page.button("everything").click()
    page.wait_until(lambda: page.text("everything-text").startswith("Waiting for its turn"))
    assert page.text("everything-close") == "Stop"
    [asked] = [one for one in page.requests("POST", "/everything") if one["answer"] and "points" in one["body"]]
    job = asked["answer"]["links"]["self"]
    page.press("Escape")
    assert not page.is_shown("everything-row")
    page.wait_until(lambda: page.requests("DELETE", asked["answer"]["job"]))
    page.wait_until(lambda: httpx.get(page.service_url + job).json()["status"] == "stopped")
    page.script("window.openGate()")

    page.button("everything").click()
    page.wait_until(lambda: page.text("everything-text") == "3 masks to keep.")
    assert len(_masks(page)) == 3
    page.open(pictures.photo(name="other.jpg"))
    assert not page.is_shown("everything-row")
    assert page.button("everything").is_enabled()
    assert page.script("return document.getElementById('found').dataset.count") == "0"
    assert json.loads(asked["body"])["points_per_side"] == 8
