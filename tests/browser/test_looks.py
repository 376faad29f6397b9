"""The page on two screens, light and dark: it fits, it is readable, and there is a picture of it to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.page import Page, Pictures

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "deploy" / "local" / "photo.jpg"
SHOTS = ROOT / ".run" / "screenshots"

SCREENS = {"desktop": (1440, 900, False), "laptop": (1280, 720, False), "phone": (390, 844, True)}

# Contrast of each visible text against the nearest opaque background behind it, as WCAG 2.2 defines it.
_LOW_CONTRAST = """
const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parts(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
return [...document.querySelectorAll("body *")].filter((e) =>
  e.checkVisibility() && !e.closest(":disabled, .visually-hidden") &&
  [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())).flatMap((e) => {
  const [a, b] = [luminance(parts(getComputedStyle(e).color)), luminance(ground(e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return ratio < 4.5 ? [`${e.textContent.trim()}: ${ratio.toFixed(2)}`] : [];
});
"""

# Controls whose middle belongs to something else: they overlap.
_COVERED = """
return document.querySelector("dialog[open]") ? [] :
  [...document.querySelectorAll(":is(.bar, .toolbar) :is(button, a, label)")].filter((e) => {
    const {left, right, top, bottom} = e.getBoundingClientRect();
    const seen = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return e.checkVisibility() && seen !== null && !e.contains(seen);
  }).map((e) => e.outerHTML);
"""

_NAMELESS = """
return [...document.querySelectorAll("button, input, [role=application], summary, canvas, img")].filter((e) =>
  e.checkVisibility() && !e.closest("[aria-hidden=true]") && !e.closest("label")?.textContent.trim() &&
  !(e.getAttribute("aria-label") || e.textContent.trim() || e.hasAttribute("alt"))).map((e) => e.outerHTML);
"""


def _look(page: Page, screen: str, name: str) -> None:
    """Take the picture and check it, in light and in dark."""
    width, height, phone = SCREENS[screen]
    for scheme in ("light", "dark"):
        page.use_screen(width, height, phone=phone, scheme=scheme)
        page.next_frame()
        page.screenshot(SHOTS / f"{screen}-{scheme}-{name}.png")
        overflow = page.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow == 0, "the page scrolls sideways"
        assert page.script(_LOW_CONTRAST) == []
        assert page.script(_NAMELESS) == []
        assert page.script(_COVERED) == []


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_fits_and_reads_well(page: Page, pictures: Pictures, screen: str) -> None:
    width, height, phone = SCREENS[screen]
    page.use_screen(width, height, phone=phone)
    page.load()
    _look(page, screen, "1-welcome")
    page.choose_files(pictures.text())
    page.wait_until(lambda: page.is_shown("alert"))
    _look(page, screen, "2-error")
    page.open(PHOTO, pictures.photo())
    page.click(0.5, 0.5)
    page.wait_for_masks(3)
    _look(page, screen, "3-masks")
    page.keep("dog")
    page.script("scrollTo(0, 0)")
    page.click(0.8, 0.8)
    page.wait_for_masks(3)
    page.choose_tool("exclude")
    page.click(0.4, 0.6)
    page.wait_for_masks(1)
    _look(page, screen, "4-objects")
    for name in ("help", "export"):
        page.button(name).click()
        _look(page, screen, f"5-{name}")
        page.press("Escape")
