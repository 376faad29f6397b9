"""Opening and removing many pictures in a real browser: nothing is lost, mixed up or left out without a message."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from shared.images.reading import decode_image
from tests.browser.page import Page, Pictures
from tests.support import sample_images as sample

IN_BLOCK = (0.5, 0.5)


def test_a_picture_whose_objects_are_in_no_file_is_removed_only_when_asked_twice(
    page: Page, pictures: Pictures, tmp_path: Path
) -> None:
    _open_two(page, pictures)
    _keep(page, "block")
    _remove(page, 0)
    assert page.is_shown("remove-dialog")
    assert page.text("remove-text").startswith(
        "You have not exported the latest changes to first.jpg, which has 1 object."
    )
    page.dismiss()
    assert not page.is_shown("remove-dialog")
    assert page.labels() == ["block"]

    page.download("coco", tmp_path, "coco.json")
    page.wait_until(lambda: not page.is_shown("export-dialog"))
    page.write("label", "other")
    _relabel(page, "brick")
    _remove(page, 0)
    page.button("remove-anyway").click()
    page.wait_until(lambda: page.text("name") == "second.jpg")
    assert not page.is_shown("strip")


def test_an_exported_picture_is_removed_at_once(page: Page, pictures: Pictures, tmp_path: Path) -> None:
    _open_two(page, pictures)
    _keep(page, "block")
    page.download("coco", tmp_path, "coco.json")
    page.wait_until(lambda: not page.is_shown("export-dialog"))
    _remove(page, 0)
    page.wait_until(lambda: page.text("name") == "second.jpg")
    assert not page.is_shown("remove-dialog")


def test_what_was_kept_while_a_file_was_written_is_not_taken_for_exported(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    _keep(page, "block")
    page.script("""
        const gate = new Promise((resolve) => (window.openGate = resolve));
        const ask = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (...given) {
            gate.then(() => ask.apply(this, given));
        };
        window.saved = [];
        HTMLAnchorElement.prototype.click = function () { window.saved.push(this.download); };
    """)
    page.button("export").click()
    page.script("document.querySelector('[data-format=png]').click()")
    page.dismiss()
    page.click(0.8, 0.8)
    page.wait_for_masks(3)
    page.keep("field")
    page.script("window.openGate()")
    page.wait_until(lambda: page.script("return window.saved.length"))
    page.open(pictures.photo(name="other.jpg"))
    _remove(page, 0)
    assert page.is_shown("remove-dialog")
    page.dismiss()


@pytest.mark.parametrize("choice", ["coco", "png", "yolo"])
def test_a_file_is_written_beside_the_page_and_on_it_if_that_fails(
    page: Page, pictures: Pictures, tmp_path: Path, choice: str
) -> None:
    names = {"coco": "coco.json", "png": "masks.zip", "yolo": "yolo.zip"}
    page.open(pictures.photo())
    _keep(page, "block")
    page.script("""
        window.asked = [];
        const ask = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (message, ...more) {
            if (message.call === "begin") window.asked.push(message.given[0]);
            if (window.broken) this.dispatchEvent(new ErrorEvent("error", {message: "gone", cancelable: true}));
            else ask.call(this, message, ...more);
        };
    """)
    beside = page.download(choice, tmp_path, names[choice]).read_bytes()
    assert page.script("return window.asked") == [choice]
    page.wait_until(lambda: not page.is_shown("export-dialog"))
    page.script("window.broken = true")
    for _ in range(2):  # a worker that has failed is asked no more
        (tmp_path / names[choice]).unlink()
        assert len(page.download(choice, tmp_path, names[choice]).read_bytes()) == len(beside)
        assert page.script("return window.asked") == [choice, choice]
        page.wait_until(lambda: not page.is_shown("export-dialog"))


def test_on_a_touch_screen_only_the_shown_pictures_cross_can_be_hit(page: Page, pictures: Pictures) -> None:
    page.use_screen(390, 844, phone=True)
    _open_two(page, pictures)
    states = page.script(
        "return [...document.querySelectorAll('.frame-remove')].map((cross) => {"
        "const {opacity, pointerEvents} = getComputedStyle(cross); return [opacity, pointerEvents]; })"
    )
    assert states == [["1", "auto"], ["0", "none"]]


def test_removing_a_picture_the_service_refused_shows_the_next_one(page: Page, pictures: Pictures) -> None:
    """The alert goes away too, so the stage grows and is painted while the next picture is still being opened."""
    refused = pictures.photo(name="moving.gif")
    others = [pictures.photo(name=f"{number}.jpg") for number in range(8)]
    page.choose_files(refused, *others)
    page.wait_until(lambda: page.is_shown("alert") and len(page.thumbnails()) == 9)
    _slow_down_opening(page)
    _remove(page, 0)
    page.wait_until(lambda: page.text("name") == "0.jpg")
    page.next_frame()
    page.wait_until(lambda: page.text("origin"))
    page.next_frame()
    red, green, *_ = page.script(
        "const canvas = document.getElementById('photo'); const {width, height} = canvas;"
        "return [...canvas.getContext('2d').getImageData(width / 2, height / 2, 1, 1).data]"
    )
    assert red > 2 * green
    page.press("n")
    page.wait_until(lambda: page.text("name") == "1.jpg")


def test_a_picture_removed_while_others_open_leaves_none_of_them_out(page: Page, pictures: Pictures) -> None:
    files = [pictures.photo(name=f"{number}.jpg") for number in range(6)]
    page.script("""
        const list = document.getElementById("strip-list");
        const observer = new MutationObserver(() => {
            if (list.children.length !== 3) return;
            observer.disconnect();
            document.querySelectorAll('.frame-remove')[1].click();
        });
        observer.observe(list, {childList: true});
    """)
    page.choose_files(*files)
    page.wait_until(lambda: _names(page) == ["0.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"])
    page.wait_until(lambda: all("0 objects" in label for label in page.thumbnail_labels()))


def test_files_that_are_no_pictures_are_named_once_the_others_are_open(page: Page, pictures: Pictures) -> None:
    page.choose_files(pictures.text(), pictures.photo(name="first.jpg"), pictures.photo(name="second.jpg"))
    page.wait_until(lambda: page.is_shown("alert"))
    assert page.text("alert-text").endswith("Left out: notes.txt.")
    assert _names(page) == ["first.jpg", "second.jpg"]


def test_taking_up_an_object_brings_its_label_wherever_one_comes_from(page: Page, pictures: Pictures) -> None:
    _open_two(page, pictures)
    _keep(page, "cat")
    page.in_row(0, "edit").click()
    page.press("n")
    page.wait_until(lambda: page.text("name") == "second.jpg" and page.text("origin"))
    _keep(page, "dog")
    page.press("p")
    page.wait_until(lambda: page.text("name") == "first.jpg")
    page.button("keep").click()
    assert page.labels() == ["cat"]

    page.in_row(0, "edit").click()
    _relabel(page, "lynx")
    page.button("keep").click()
    assert page.labels() == ["lynx"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif"])
def test_every_exif_orientation_is_shown_as_the_service_sees_it(page: Page, pictures: Pictures, suffix: str) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        _is_shown_as_the_service_sees_it(
            page, pictures.photo((90, 60), f"{orientation}.{suffix}", exif=exif).read_bytes()
        )


def test_every_kind_of_picture_is_shown_as_the_service_sees_it(page: Page) -> None:
    grey = np.arange(5400, dtype=np.uint16).reshape(60, 90)
    across, down = np.meshgrid(np.arange(0, 180, 2, np.uint8), np.arange(0, 240, 4, np.uint8))
    smooth = Image.fromarray(np.dstack([across, down, 255 - across]))  # a lossy copy is close to it everywhere
    jpeg, heic = sample.saved(smooth, "JPEG"), io.BytesIO()
    pillow_heif.from_pillow(smooth).save(heic)
    for data in (
        sample.saved(smooth, "MPO", save_all=True, append_images=[smooth.rotate(180)]),
        jpeg[:-2],
        jpeg[:20] + bytes(3) + jpeg[20:],
        jpeg + sample.jpeg(30, 20) + bytes(range(256)),
        sample.saved(smooth, "BMP"),
        sample.saved(smooth, "TIFF", exif=sample.exif(6)),
        sample.saved(Image.fromarray(grey), "TIFF"),
        sample.saved(Image.fromarray(grey), "PNG"),
        heic.getvalue(),
    ):
        _is_shown_as_the_service_sees_it(page, data)


def _is_shown_as_the_service_sees_it(page: Page, data: bytes) -> None:
    expected = decode_image(data, max_pixels=10_000)
    height, width = expected.shape[:2]
    places = [(x, y) for x in (4, width // 2, width - 5) for y in (4, height // 2, height - 5)]
    shown = page.script_until_done(
        """
        const [data, places, done] = arguments;
        const file = new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]);
        const look = async () => {
          const page = document.querySelector("script[type=module]").src;
          const {openPicture, openSharp} = await import(new URL("picture.js", page));
          const {width, height, bitmap} = await openPicture(file);
          const pixels = [bitmap, await openSharp(file)].map((each) => {
            const context = new OffscreenCanvas(each.width, each.height).getContext("2d");
            context.drawImage(each, 0, 0);
            return places.map(([x, y]) => [...context.getImageData(x, y, 1, 1).data].slice(0, 3));
          });
          return [width, height, bitmap.width, bitmap.height, ...pixels];
        };
        look().then(done, (error) => done(String(error)));
        """,
        base64.b64encode(data).decode(),
        places,
    )
    assert shown[:4] == [width, height, width, height], (data[:16], shown)
    for pixels in shown[4:]:
        for (x, y), pixel in zip(places, pixels, strict=True):
            assert pixel == pytest.approx(expected[y, x].tolist(), abs=12), (data[:16], x, y)


def test_a_picture_that_the_browser_does_not_show_comes_from_the_service(page: Page, pictures: Pictures) -> None:
    photo = pictures.photo()
    with Image.open(photo) as image:
        tiff, heic = photo.with_name("scan.tif"), photo.with_name("phone.heic")
        image.save(tiff, "TIFF")
        pillow_heif.from_pillow(image).save(heic)
    for file in (tiff, heic):
        page.open(file)
        page.wait_until(lambda name=file.name: page.text("name") == name)
        _keep(page, file.stem)
    assert page.labels() == ["phone"]


def _open_two(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo(name="first.jpg"), pictures.photo(name="second.jpg"))
    page.wait_until(lambda: len(page.thumbnails()) == 2)


def _keep(page: Page, label: str) -> None:
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep(label)


def _relabel(page: Page, label: str) -> None:
    """Rename the first object in the list."""
    page.script(
        "const field = document.querySelector('.object-label'); field.value = arguments[0];"
        "field.dispatchEvent(new Event('change'))",
        label,
    )


def _remove(page: Page, index: int) -> None:
    page.script("document.querySelectorAll('.frame-remove')[arguments[0]].click()", index)


def _slow_down_opening(page: Page) -> None:
    page.script("""
        const plain = window.createImageBitmap;
        window.createImageBitmap = async (...given) => {
            await new Promise((resolve) => setTimeout(resolve, 300));
            return plain(...given);
        };
    """)


def _names(page: Page) -> list[str]:
    return [label.partition(",")[0] for label in page.thumbnail_labels()]
