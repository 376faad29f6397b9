"""The page's switch that cleans masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from prompt_api.masks.cleaning import Cleaning, clean
from tests.browser.page import Page
from tests.support.masks_material import coco_decoded, painted, runs_of

SMALL = (960 // 64) ** 2
"""Pixels up to which a hole or part of a picture of 960x640 is small."""


def test_the_switch_removes_specks_from_the_next_masks(page: Page, tmp_path: Path) -> None:
    pixels = np.full((640, 960, 3), (20, 90, 160), np.uint8)
    pixels[150:450, 300:600] = pixels[60:75, 60:75] = (200, 30, 30)
    Image.fromarray(pixels).save(tmp_path / "speck.png")
    page.open(tmp_path / "speck.png")
    page.script('document.getElementById("clean").click()')
    page.click(0.47, 0.47)
    page.wait_for_masks(3)
    best = page.chosen()
    answered = page.requests("POST", "/masks")[-1]["answer"]["results"][0]["masks"][best]
    mask = coco_decoded(answered["rle"])
    cleaned = painted(clean(runs_of(mask), Cleaning(SMALL, SMALL), np.zeros((0, 2))))
    assert 0 < cleaned.sum() < mask.sum()
    assert (page.overlay() != page.expected_overlay(cleaned)).mean() < 1e-4
    page.load(afresh=False)
    assert page.script('return document.getElementById("clean").checked') is True
