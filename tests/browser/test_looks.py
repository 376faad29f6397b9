"""The page on two screens, light and dark: it fits, it is readable, and a screenshot is kept to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.axe import violations
from tests.browser.page import Page, Pictures

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "deploy" / "local" / "photo.jpg"
SHOTS = ROOT / ".run" / "screenshots"

SCREENS = {"desktop": (1440, 900, False), "laptop": (1280, 720, False), "phone": (390, 844, True)}

# Finds controls whose middle belongs to another element, which means that they overlap.
_COVERED = """
return document.querySelector("dialog[open]") ? [] :
  [...document.querySelectorAll(":is(.bar, .toolbar) :is(button, a, label)")].filter((e) => {
    const {left, right, top, bottom} = e.getBoundingClientRect();
    const seen = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return e.checkVisibility() && seen !== null && !e.contains(seen);
  }).map((e) => e.outerHTML);
"""


def _look(page: Page, axe: str, screen: str, name: str) -> None:
    """Take a screenshot and check the page, in light and in dark."""
    width, height, phone = SCREENS[screen]
    for scheme in ("light", "dark"):
        page.use_screen(width, height, phone=phone, scheme=scheme)
        page.next_frame()
        page.screenshot(SHOTS / f"{screen}-{scheme}-{name}.png")
        overflow = page.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow == 0, "the page scrolls sideways"
        assert violations(page, axe) == []
        assert page.script(_COVERED) == []


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_fits_and_reads_well(page: Page, pictures: Pictures, axe: str, screen: str) -> None:
    width, height, phone = SCREENS[screen]
    page.use_screen(width, height, phone=phone)
    page.load()
    _look(page, axe, screen, "1-welcome")
    page.choose_files(pictures.text())
    page.wait_until(lambda: page.is_shown("alert"))
    _look(page, axe, screen, "2-error")
    page.open(PHOTO, pictures.photo())
    page.click(0.5, 0.5)
    page.wait_for_masks(3)
    _look(page, axe, screen, "3-masks")
    page.keep("dog")
    page.script("scrollTo(0, 0)")
    page.click(0.8, 0.8)
    page.wait_for_masks(3)
    page.choose_tool("exclude")
    page.click(0.4, 0.6)
    page.wait_for_masks(1)
    page.button("alike").click()
    page.wait_until(lambda: page.is_shown("alike-row") and page.text("alike-close") == "Close")
    page.script("scrollTo(0, 0)")
    _look(page, axe, screen, "4-objects")
    for name in ("help", "export"):
        page.button(name).click()
        _look(page, axe, screen, f"5-{name}")
        page.dismiss()
