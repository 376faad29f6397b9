"""Tests of the page's mode "all like this" and of classes that are carried on."""

from __future__ import annotations

import json
from typing import Any

from selenium.webdriver.common.keys import Keys

from tests.browser.axe import violations
from tests.browser.page import Page, Pictures

# Answers searches as the service does, with squares in place of what it would find: [x, side, similarity], on a
# picture of 900x600. The model that needs no weights sees only colours. An example of what is not meant makes the
# squares of its own size less similar.
_SQUARES = """
const done = arguments[0];
import("/static/mask-edges.js").then(({ areaOf, edgesOf, isSameObject, boxOf, maskFrom }) => {
  const square = (x, y, side) => {
    const columns = Array.from({ length: side }, (_, column) => (x + column) * 600 + y);
    return maskFrom(Uint32Array.from(columns.flatMap((top) => [top, top + side])), [600, 900]);
  };
  const maskOf = ({ rle }) => ({ rle, area: areaOf(edgesOf(rle)), bbox: boxOf(edgesOf(rle), 600) });
  const squares = [[20, 60, 0.9], [120, 60, 0.8], [220, 40, 0.7], [320, 60, 0.4], [420, 40, 0.6]];
  const answer = ({ examples, exclude }) => {
    const wrong = examples.filter(({ label }) => label === 0).map(({ mask }) => maskOf(mask));
    const known = [...exclude.map(maskOf), ...wrong];
    const masks = squares.map(([x, side, similarity]) => {
      const isLikeWrong = wrong.some(({ area }) => area === side * side);
      const more = { score: 0.9, mask_token: "t", point: [x + 1, 481], similarity: isLikeWrong ? 0.3 : similarity };
      return { ...square(x, 480, side), ...more };
    });
    const found = masks.filter((mask) => !known.some((other) => isSameObject(mask, other)));
    return { masks: found.sort((one, other) => other.similarity - one.similarity), truncated: false };
  };
  window.refusal = null;
  window.beforeFetch = async ({ url, body }) => {
    if (!url.includes("/similar")) return null;
    const { refusal } = window;
    const text = JSON.stringify(refusal ?? answer(JSON.parse(body)));
    return new Response(text, { status: refusal ? refusal.status : 200 });
  };
  done();
});
"""

IN_BLOCK = (0.5, 0.5)
FIRST, SECOND, SMALL, FOURTH = (50 / 900, 0.85), (150 / 900, 0.85), (240 / 900, 500 / 600), (350 / 900, 0.85)


def _find_alike(page: Page, pictures: Pictures) -> None:
    """Open a picture, point at its block, and have everything found that looks like it."""
    page.open(pictures.photo())
    page.script_until_done(_SQUARES)
    page.write("label", "block")
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.press("g")
    page.wait_until(lambda: page.text("alike-text") == "4 like block.")


def _found(page: Page) -> int:
    """Return how many masks are drawn as offered."""
    return int(page.script("return document.getElementById('found').dataset.count"))


def _searches(page: Page) -> list[dict[str, Any]]:
    """Return the bodies of all searches so far."""
    return [json.loads(asked["body"]) for asked in page.requests("POST", "/similar")]


def test_what_looks_alike_is_offered_and_kept_in_one_step(page: Page, pictures: Pictures, axe: str) -> None:
    _find_alike(page, pictures)
    assert page.labels() == ["block"], "the mask that was pointed at is kept first"
    page.wait_until(lambda: page.text("announce").startswith("Found 4 like block. Enter keeps them."))
    assert _found(page) == 4
    assert violations(page, axe) == []

    page.button("alike-most").send_keys(Keys.ARROW_RIGHT)
    page.wait_until(lambda: page.text("alike-text") == "5 like block.")
    assert _found(page) == 5
    page.button("alike-most").send_keys(Keys.ARROW_LEFT)
    page.wait_until(lambda: page.text("alike-keep") == "Keep 4")

    page.hover(*SMALL)
    page.wait_until(lambda: page.overlay_state() == "mask")
    page.click(*SMALL)
    page.wait_until(lambda: page.text("alike-text") == "3 like block.")
    page.wait_until(lambda: page.text("alike-text") == "2 like block." and page.text("alike-close") == "Close")
    first, second = _searches(page)
    assert [example["label"] for example in first["examples"]] == [1]
    assert [example["label"] for example in second["examples"]] == [1, 0], "it has learned, also of the other small one"
    page.click(*FOURTH)
    page.wait_until(lambda: page.text("alike-text") == "3 like block.")

    page.script("document.getElementById('stage').focus()")
    page.press(".")
    page.wait_until(lambda: page.text("announce").startswith("1 of 3, similarity 0.90, "))
    page.press("Delete")
    page.wait_until(lambda: page.text("announce") == "Taken away. 2 lit.")
    page.press("Enter")
    page.wait_until(lambda: page.text("announce") == "Kept. 3 objects.")
    assert page.labels() == ["block"] * 3
    assert not page.is_shown("alike-row")
    assert _found(page) == 0
    page.press("Control+z")
    page.wait_until(lambda: page.labels() == ["block"])
    page.in_row(0, "alike").click()
    page.wait_until(lambda: page.text("alike-text") == "4 like block.")
    assert page.focused == "stage", "on the button, Enter would not keep them"
    page.button("alike-keep").click()
    page.wait_until(lambda: len(page.labels()) == 5)
    assert page.focused == "stage"


def test_classes_are_carried_on_to_the_next_picture(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo(), pictures.photo(name="second.jpg"), pictures.photo(name="third.jpg"))
    page.script_until_done(_SQUARES)
    for place, label in ((IN_BLOCK, "block"), ((0.1, 0.1), "corner")):
        page.click(*place)
        page.wait_for_masks(3)
        page.keep(label)
        page.wait_until(lambda label=label: label in page.labels())
    page.script("document.getElementById('carry').click()")
    assert not page.is_shown("alike-row"), "this picture has objects"
    page.script("document.getElementById('stage').focus()")
    page.press("n")
    page.wait_until(lambda: page.text("name") == "second.jpg" and page.text("alike-keep") == "Keep 4")
    page.wait_until(lambda: page.text("alike-close") == "Close")
    assert page.text("alike-text") == "4 like block.", "what was found for two classes is offered once"
    assert page.labels() == [], "nothing is kept without a key"
    block, corner = _searches(page)
    ids = {example["image_id"] for example in block["examples"] + corner["examples"]}
    assert len(ids) == 1
    assert block["exclude"] == []
    page.press("Enter")
    page.wait_until(lambda: page.labels() == ["block"] * 4)

    page.script(
        "window.refusal = {code: 'image-not-found', status: 404, detail: 'examples/0/image_id: there is no such image'}"
    )
    page.press("n")
    gone = "The service no longer has the picture with the examples of block, corner."
    page.wait_until(lambda: page.text("name") == "third.jpg" and page.text("alike-text") == gone)
    assert not page.is_shown("alert")
    page.press("Escape")
    page.wait_until(lambda: not page.is_shown("alike-row"))

    page.wait_until_kept()
    page.load(afresh=False)
    assert page.script("return document.getElementById('carry').checked"), "the session remembers the switch"
