"""Makes pictures of the running page for the documents: `python -m tests.browser.take_pictures`.

The photos are scikit-image's: Eileen Collins by NASA and a cup of coffee by Rachel Michetti, both in the public domain,
and Greek coins from Pompeii from the Brooklyn Museum, without known copyright restrictions.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image
from skimage import data

from deploy.local.stack import LocalStack
from tests.browser.chromium import start_chromium
from tests.browser.page import Page

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
QUALITY = 76


def take_pictures(page: Page, folder: Path) -> None:
    """Use the page and write `page-*.jpg` to `PICTURES`."""
    photos = [folder / "astronaut.png", folder / "coffee.png"]
    for photo, pixels in zip(photos, (data.astronaut(), data.coffee()), strict=True):
        Image.fromarray(pixels).save(photo)
    page.use_screen(1280, 720)
    page.load()
    page.open(*photos)
    page.wait_until(lambda: "object" in page.thumbnail_labels()[1])
    page.click(0.42, 0.2)
    page.wait_for_masks(3)
    _shoot(page, "page-masks")
    page.keep("astronaut")
    page.drag((0.73, 0.0), (0.89, 0.58))
    page.wait_for_masks(3)
    page.keep("shuttle")
    page.click(0.7, 0.82, shift=True)  # a plain click on a kept object selects it
    page.wait_for_masks(3)
    page.keep("helmet")
    page.click(0.08, 0.2, shift=True)
    page.wait_for_masks(3)
    page.write("label", "flag")
    page.leave()
    _shoot(page, "page-objects")
    page.use_screen(1280, 720, scheme="dark")
    page.button("export").click()
    _shoot(page, "page-export-dark")
    page.press("Escape")
    page.use_screen(390, 844, phone=True, scheme="dark")
    _shoot(page, "page-phone")


def take_similar_pictures(page: Page, folder: Path) -> None:
    """Find all coins of a photo from one of them, then those of the next, and write `similar-*.jpg` to `PICTURES`."""
    coins = Image.fromarray(data.coins())
    coins = coins.resize((coins.width * 2, coins.height * 2), Image.Resampling.BICUBIC)
    photos = [folder / "coins.png", folder / "more coins.png"]
    coins.save(photos[0])
    coins.transpose(Image.Transpose.ROTATE_180).crop((150, 0, 768, 480)).save(photos[1])
    page.use_screen(1280, 800)
    page.load()
    page.open(*photos)
    page.write("label", "coin")
    page.click(0.16, 0.17)
    page.wait_for_masks(3)
    page.press("g")
    _wait_for_search(page)
    page.leave()
    _shoot(page, "similar-coins")
    page.press("Enter")
    page.wait_until(lambda: not page.is_shown("alike-row"))
    page.button("carry").click()
    page.press("n")
    page.wait_until(lambda: page.text("name") == photos[1].name and page.is_shown("alike-row"))
    _wait_for_search(page)
    page.leave()
    _shoot(page, "similar-next")


def _wait_for_search(page: Page) -> None:
    page.wait_until(lambda: page.text("alike-close") == "Close" and page.text("alike-keep") != "Keep")


def _shoot(page: Page, name: str) -> None:
    page.next_frame()
    shot = PICTURES / f"{name}.png"
    page.screenshot(shot)
    with Image.open(shot) as image:
        image.convert("RGB").save(shot.with_suffix(".jpg"), quality=QUALITY, optimize=True)
    shot.unlink()


if __name__ == "__main__":
    with LocalStack() as stack, tempfile.TemporaryDirectory() as scratch:
        driver = start_chromium(Path(scratch) / "profile")
        try:
            page = Page(driver, stack.url, patience=120)
            take_pictures(page, Path(scratch))
            take_similar_pictures(page, Path(scratch))
        finally:
            driver.quit()
