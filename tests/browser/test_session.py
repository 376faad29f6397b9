"""The session of the page in a real browser: it survives, two hundred pictures are no trouble, classes name objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser.axe import violations
from tests.browser.page import Page, Pictures
from tests.browser.stored_session import store_session

IN_BLOCK = (0.5, 0.5)
IN_CORNER = (0.1, 0.1)


def _uploads(page: Page) -> int:
    return len(page.requests("POST", "v1/images"))


def _name(page: Page, name: str) -> None:
    page.wait_until(lambda: page.text("name") == name and page.text("origin"))


def _folder(pictures: Pictures, count: int, size: tuple[int, int] = (300, 200)) -> Path:
    """Write pictures "1.jpg", "2.jpg", … into a folder of their own."""
    folder = pictures.folder / "trip"
    folder.mkdir()
    for number in range(1, count + 1):
        Pictures(folder).photo(size, f"{number}.jpg")
    return folder


def test_twenty_pictures_are_labelled_by_keyboard_alone_with_a_reload_in_the_middle(
    page: Page, pictures: Pictures
) -> None:
    page.choose_folder(_folder(pictures, 20))
    _name(page, "1.jpg")
    page.wait_until(lambda: page.text("position") == "1 of 20")
    page.tab_to("stage")
    for number in range(1, 21):
        _name(page, f"{number}.jpg")
        assert page.text("position") == f"{number} of 20"
        assert page.focused == "stage"
        page.press("Enter")
        page.wait_for_masks(3)
        if number < 3:  # a class is made by its name once
            page.press("l", "Control+a", *("block", "field")[number - 1], "Enter")
            assert page.focused == "stage"
        elif number == 3:
            page.press("m", "k")  # the last class stays
        else:
            page.press("21"[number % 2])
        expected = "block" if number % 2 and number != 3 else "field"
        assert page.labels() == [expected]
        if number == 10:
            page.wait_until_kept()
            page.load(afresh=False)
            _name(page, "10.jpg")
            assert page.labels() == [expected]
            page.tab_to("stage")
        page.press("u")
    page.wait_until(lambda: page.text("announce") == "All pictures are labelled.")
    assert page.text("labelled") == "all labelled"
    assert page.classes() == ["block", "field"]
    counts = page.script("return [...document.querySelectorAll('.class-count')].map((e) => Number(e.textContent))")
    assert sum(counts) == 20
    assert page.requests("POST", "/masks")
    asked = page.script("return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin)")
    assert set(asked) <= {page.service_url}


def test_after_a_reload_everything_is_as_it_was(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo(name="first.jpg"), pictures.photo(name="second.jpg"))
    page.wait_until(lambda: len(page.thumbnails()) == 2)
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("block")
    page.click(*IN_CORNER)
    page.wait_for_masks(3)
    page.choose_mask(1)
    page.in_row(0, "show").click()
    page.leave()
    overlay = page.overlay()
    page.wait_until_kept()

    page.load(afresh=False)
    _name(page, "first.jpg")
    assert len(page.thumbnails()) == 2
    assert page.labels() == ["block"]
    assert page.in_row(0, "show").get_attribute("aria-pressed") == "false"
    assert page.marks() == ["point include"]
    assert page.chosen() == 1
    assert (page.overlay() == overlay).all()
    assert _uploads(page) == 0
    page.wait_until(lambda: page.text("session-note").startswith("Kept in this browser"))
    assert page.script("return document.getElementById('label').value") == "block"

    page.button("undo").click()
    page.button("undo").click()
    assert page.labels() == []
    page.press("Control+y")
    assert page.labels() == ["block"]
    page.click(*IN_BLOCK)  # the picture itself is there and can be prompted
    page.wait_for_masks(3)
    page.press("n")
    _name(page, "second.jpg")


def test_starting_afresh_is_asked_about_and_removes_everything(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("block")
    page.button("afresh").click()
    assert page.text("afresh-text").startswith("1 picture and 1 object are removed from this browser.")
    page.dismiss()
    assert page.labels() == ["block"]
    page.button("afresh").click()
    page.button("afresh-anyway").click()
    page.wait_until(lambda: page.is_shown("welcome"))
    page.wait_until_kept()
    page.load(afresh=False)
    assert page.is_shown("welcome")
    assert page.classes() == []
    page.open(pictures.photo(name="new.jpg"))  # and a new session begins
    page.wait_until_kept()
    page.load(afresh=False)
    _name(page, "new.jpg")


def test_a_file_without_room_is_asked_for_after_a_reload(page: Page, pictures: Pictures) -> None:
    photo = pictures.photo()
    page.script("""
        const plain = IDBObjectStore.prototype.put;
        IDBObjectStore.prototype.put = function (value, key) {
            if (this.name === "files") throw new DOMException("no room", "QuotaExceededError");
            return plain.call(this, value, key);
        };
    """)
    page.open(photo)
    page.wait_until(lambda: page.is_shown("alert"))
    assert page.text("alert-text").startswith("This browser has no room for more files.")
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("block")
    page.wait_until_kept()

    page.load(afresh=False)
    page.wait_until(lambda: page.is_shown("alert"))
    assert "did not keep the file" in page.text("alert-text")
    assert page.text("alert-text").endswith("photo.jpg.")
    assert not page.is_shown("alert-act")
    assert page.labels() == ["block"]
    page.click(*IN_CORNER)  # the service still has the embedding, so prompts work
    page.wait_for_masks(3)
    page.choose_files(photo)
    page.wait_until(lambda: not page.is_shown("alert"))
    assert page.labels() == ["block"]
    page.wait_until_kept()
    page.load(afresh=False)
    _name(page, "photo.jpg")
    assert not page.is_shown("alert")


@pytest.mark.parametrize(
    ("obstacle", "note"),
    [
        ("IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError'); };", ""),
        ("window.indexedDB.open('annotation-session /', 99);", "A newer version of this page keeps your session."),
    ],
    ids=["no database", "newer version"],
)
def test_a_page_that_can_keep_nothing_works_says_so_and_asks_before_it_closes(
    page: Page, driver: webdriver.Chrome, pictures: Pictures, obstacle: str, note: str
) -> None:
    added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": obstacle})
    try:
        page.load()
        assert page.text("alert-text").startswith(note)
        page.open(pictures.photo())
        page.click(*IN_BLOCK)
        page.wait_for_masks(3)
        page.keep("block")
        assert page.text("session-note") == "Not kept in this browser."
        script = "const event = new Event('beforeunload', {cancelable: true}); window.dispatchEvent(event);"
        assert page.script(script + "return event.defaultPrevented")
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
        page.load()


def test_one_tab_keeps_the_session_and_another_can_take_it(
    page: Page, driver: webdriver.Chrome, pictures: Pictures
) -> None:
    page.open(pictures.photo())
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("block")
    page.wait_until_kept()
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        page.load(afresh=False)
        assert page.is_shown("welcome")
        assert page.text("alert-text").startswith("Your session is open in another tab.")
        page.button("alert-act").click()
        _name(page, "photo.jpg")
        assert page.labels() == ["block"]
        page.wait_until(lambda: page.text("session-note").startswith("Kept"))
        driver.switch_to.window(first)
        page.wait_until(lambda: page.text("session-note") == "Not kept in this browser.")
        assert page.text("alert-text").startswith("Your session goes on in another tab.")
    finally:
        for handle in set(driver.window_handles) - {first}:
            driver.switch_to.window(handle)
            driver.close()
        driver.switch_to.window(first)


def test_classes_have_keys_and_colours_and_are_renamed_and_merged_everywhere(
    page: Page, pictures: Pictures, axe: str
) -> None:
    page.open(pictures.photo(name="first.jpg"), pictures.photo(name="second.jpg"))
    page.wait_until(lambda: len(page.thumbnails()) == 2)
    for label, place in (("cat", IN_BLOCK), ("dog", IN_CORNER)):
        page.click(*place)
        page.wait_for_masks(3)
        page.keep(label)
    page.press("n")
    _name(page, "second.jpg")
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    assert page.script("return document.getElementById('label').value") == "dog"  # the last class stays
    page.press("1")
    assert page.labels() == ["cat"]
    assert violations(page, axe) == []

    page.click(*IN_BLOCK)  # selects the kept object
    page.press("2")
    assert page.labels() == ["dog"]
    page.press("Control+z")
    assert page.labels() == ["cat"]

    colours = "return [...document.querySelectorAll('.object .swatch')].map((e) => e.value)"
    classes = "return [...document.querySelectorAll('.class .swatch')].map((e) => e.value)"
    assert page.script(colours) == page.script(classes)[:1]
    page.script(
        "const s = document.querySelector('.class .swatch'); s.value = '#123456'; s.dispatchEvent(new Event('change'))"
    )
    assert page.script(colours) == ["#123456"]
    _rename_class(page, 0, "lynx")
    assert page.labels() == ["lynx"]
    _rename_class(page, 0, "dog")
    assert page.text("merge-text").startswith("2 objects of lynx become dog.")
    page.dismiss()
    assert page.classes() == ["lynx", "dog"]
    _rename_class(page, 0, "dog")
    page.script("document.querySelector('#merge-dialog .primary').click()")
    page.wait_until(lambda: page.classes() == ["dog"])
    page.press("p")
    _name(page, "first.jpg")
    assert page.labels() == ["dog", "dog"]
    page.press("Control+z")
    assert page.labels() == ["dog"]


def _rename_class(page: Page, row: int, name: str) -> None:
    page.script(
        "const field = document.querySelectorAll('.class-name')[arguments[0]]; field.value = arguments[1];"
        "field.dispatchEvent(new Event('change'))",
        row,
        name,
    )


def test_the_label_gives_the_keys_back_to_the_picture(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo())
    page.press("l", "c", "a", "t", "Escape")
    assert page.focused == "stage"
    assert page.classes() == []
    page.press("l", "Enter")  # without a mask the class is put into use
    assert page.focused == "stage"
    assert page.classes() == ["cat"]
    page.press("Enter")
    page.wait_for_masks(3)
    page.press("k")
    assert page.labels() == ["cat"]


def test_only_the_shown_picture_and_the_next_two_are_uploaded(page: Page, pictures: Pictures) -> None:
    folder = _folder(pictures, 12)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".DS_Store").write_text("clutter")
    for number in range(6):
        (folder / f"bad-{number}.jpg").write_text("no picture")
    page.choose_folder(folder)
    page.wait_until(lambda: page.is_shown("alert"))
    assert page.text("position") == "1 of 12"
    assert page.text("alert-text").endswith("and 2 more.")
    page.button("alert-act").click()
    listed = page.script("return [...document.querySelectorAll('#refused-list strong')].map((e) => e.textContent)")
    assert listed == [*(f"bad-{number}.jpg" for number in range(6)), "notes.txt"]
    page.dismiss()
    page.wait_until(lambda: _uploads(page) == 3)
    page.wait_until(lambda: page.script("return document.querySelectorAll('.frame[data-state=busy]').length") == 0)
    assert _uploads(page) == 3
    page.press("n")
    _name(page, "2.jpg")
    page.wait_until(lambda: _uploads(page) == 4)
    page.press("d")  # done, and on to the next one
    _name(page, "3.jpg")
    assert page.text("labelled") == "1 labelled"
    assert page.thumbnail_labels()[1].endswith("0 objects, done")


def test_a_folder_can_be_dropped_or_picked_by_its_handle(page: Page, pictures: Pictures) -> None:
    data = list(pictures.photo((60, 40)).read_bytes())
    page.script(
        """
        const bytes = new Uint8Array(arguments[0]);
        const kind = {type: "image/jpeg", lastModified: 0};
        const file = (name, more) => new File([bytes, new Uint8Array([more])], name, kind);
        const fileEntry = (name, more) => ({name, fullPath: `/trip/${name}`, isDirectory: false,
          file: (done) => done(file(name, more))});
        let rounds = [[fileEntry("10.jpg", 1)], [fileEntry("9.jpg", 2), fileEntry(".hidden", 3)], []];
        const folder = {name: "trip", fullPath: "/trip", isDirectory: true,
          createReader: () => ({readEntries: (done) => done(rounds.shift())})};
        window.dropFolder = () => {
          const event = new Event("drop", {bubbles: true, cancelable: true});
          event.dataTransfer = {items: [{webkitGetAsEntry: () => folder}], files: [], types: ["Files"]};
          document.body.dispatchEvent(event);
        };
        window.showDirectoryPicker = async () => ({name: "trip", kind: "directory", values: async function* () {
          yield {name: "inner", kind: "directory", values: async function* () {
            yield {name: "11.jpg", kind: "file", getFile: async () => file("11.jpg", 4)};
          }};
        }});
        window.dropFolder();
        """,
        data,
    )
    page.wait_until(lambda: [label.partition(",")[0] for label in page.thumbnail_labels()] == ["9.jpg", "10.jpg"])
    _name(page, "9.jpg")
    page.button("add-folder").click()
    page.wait_until(lambda: len(page.thumbnails()) == 3)
    _name(page, "11.jpg")


def test_of_a_thousand_pictures_only_those_in_sight_are_in_memory(page: Page, pictures: Pictures) -> None:
    store_session(page, 1000, pictures.photo((90, 60)))
    page.load(afresh=False)
    page.wait_until(lambda: page.text("position") == "1 of 1000" and page.text("origin"))
    assert len(page.thumbnails()) < 40
    page.script("document.getElementById('strip-scroll').scrollLeft = 50_000")
    page.wait_until(lambda: any(label.startswith("560.jpg") for label in page.thumbnail_labels()))
    assert len(page.thumbnails()) < 40
    page.script("""
        window.bitmaps = new Set();
        const plain = window.createImageBitmap;
        window.createImageBitmap = async (...given) => {
            const bitmap = await plain(...given);
            window.bitmaps.add(bitmap);
            return bitmap;
        };
        const close = ImageBitmap.prototype.close;
        ImageBitmap.prototype.close = function () { window.bitmaps.delete(this); close.call(this); };
    """)
    for number in range(1000, 990, -1):
        page.press("p")
        _name(page, f"{number}.jpg")
    assert page.text("position") == "991 of 1000"
    shown = "return document.querySelector('.frame-open[aria-current]').parentElement.getAttribute('aria-posinset')"
    assert page.script(shown) == "991"
    page.wait_until(lambda: page.script("return window.bitmaps.size") <= 3)


def test_a_picture_that_is_too_large_offers_no_second_try_and_a_read_only_token_another_token(
    page: Page, pictures: Pictures
) -> None:
    refusal: dict[str, Any] = {"code": "forbidden", "status": 403, "detail": "the token may not do that"}
    page.script("sessionStorage.setItem('access-token', 'reads'); window.refusal = arguments[0]", refusal)
    page.script("""
        window.beforeFetch = async ({token}) => token === "Bearer writes" ? null : new Response(
            JSON.stringify(window.refusal), {status: window.refusal.status});
    """)
    page.choose_files(pictures.photo())
    page.wait_until(lambda: page.is_shown("alert"))
    assert page.text("alert-act") == "Change the token"
    page.button("alert-act").click()
    page.write("token", "writes")
    page.press("Enter")
    _name(page, "photo.jpg")
    assert not page.is_shown("alert")
    assert page.is_shown("change-token")

    page.script("window.refusal = {code: 'image-too-large', status: 413, detail: 'more than 60 megapixels'}")
    page.button("change-token").click()
    assert page.text("token-text") == "The page uses another token from now on."
    page.write("token", "other")
    page.press("Enter")
    page.choose_files(pictures.photo(name="large.jpg"))
    page.wait_until(lambda: page.is_shown("alert"))
    assert page.text("alert-text").startswith("That picture is larger than this service accepts.")
    assert not page.is_shown("alert-act")
    page.script("sessionStorage.clear()")


@pytest.mark.parametrize("screen", [(390, 844), (844, 390), (667, 375)], ids=["portrait", "landscape", "small"])
def test_on_a_phone_keep_is_in_sight(page: Page, pictures: Pictures, axe: str, screen: tuple[int, int]) -> None:
    page.use_screen(*screen, phone=True)
    page.load()
    page.open(pictures.photo(name="first.jpg"), pictures.photo(name="second.jpg"))
    page.wait_until(lambda: len(page.thumbnails()) == 2)
    page.tap(*IN_BLOCK)
    page.wait_for_masks(3)
    for name in ("keep", "label"):
        box = page.script("return document.getElementById(arguments[0]).getBoundingClientRect().toJSON()", name)
        assert box["top"] >= 0
        assert box["bottom"] <= screen[1]
        assert (
            page.script(
                "const {left, top, width, height} = arguments[0];"
                "return document.elementFromPoint(left + width / 2, top + height / 2).id",
                box,
            )
            == name
        )
    assert violations(page, axe) == []


def test_every_control_of_the_strip_and_the_classes_has_a_role_and_a_name(
    page: Page, driver: webdriver.Chrome, pictures: Pictures
) -> None:
    page.open(pictures.photo(name="first.jpg"), pictures.photo(name="second.jpg"))
    page.wait_until(lambda: len(page.thumbnails()) == 2)
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("cat")
    controls = driver.find_elements(By.CSS_SELECTOR, "#strip button, #classes :is(button, input), .facts button")
    seen = [control for control in controls if control.is_displayed()]
    assert {control.aria_role for control in seen} <= {"button", "textbox", "ColorWell", "combobox"}
    assert all(control.accessible_name for control in seen)
