"""Brush, eraser, selection of kept objects, export and import in a real browser."""

from __future__ import annotations

import itertools
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from tests.browser.axe import violations
from tests.browser.page import Page, Pictures

IN_BLOCK = (0.5, 0.5)
IN_FIELD = (0.8, 0.8)
SIZE = (900, 600)


def _masks(path: Path) -> list[NDArray[np.bool_]]:
    """Return the masks of an exported COCO file, in their order."""
    return [coco.decode(one["segmentation"]).astype(bool) for one in json.loads(path.read_text())["annotations"]]


def _export(page: Page, folder: Path, name: str = "coco.json", choice: str = "coco") -> Path:
    (folder / name).unlink(missing_ok=True)
    path = page.download(choice, folder, name)
    page.wait_until(lambda: not page.is_shown("export-dialog"))
    return path


def _brush_of(page: Page, pixels: int) -> int:
    """Choose the brush, make it at least so large by the keys, and return its diameter."""
    page.press("w")
    while _diameter(page) > pixels:
        page.press("[")
    while _diameter(page) < pixels:
        page.press("]")
    return _diameter(page)


def _diameter(page: Page) -> int:
    return int(page.text("brush-size-text").removesuffix(" px"))


def _near(way: list[tuple[float, float]], diameter: int, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    """Return the pixels whose centres are within the radius of the way, which is given in shares of the picture."""
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    covered = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in itertools.pairwise(way):
        ax, ay, bx, by = x0 * width, y0 * height, x1 * width, y1 * height
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
        share = along.clip(0, 1)
        covered |= np.hypot(x - ax - share * (bx - ax), y - ay - share * (by - ay)) <= diameter / 2
    return covered


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def _selected(page: Page) -> list[str]:
    script = "return [...document.querySelectorAll('.object.is-selected .object-label')].map((field) => field.value)"
    return list(page.script(script))


def _lit(page: Page) -> list[str]:
    script = "return [...document.querySelectorAll('.object.is-lit .object-label')].map((field) => field.value)"
    return list(page.script(script))


def test_a_mask_is_painted_erased_and_taken_back_stroke_by_stroke(
    page: Page, pictures: Pictures, tmp_path: Path
) -> None:
    page.open(pictures.photo(SIZE))
    diameter = _brush_of(page, 30)
    across = [(0.2, 0.3), (0.5, 0.3), (0.5, 0.7)]
    page.stroke(*across)
    assert page.overlay_state() == "mask"
    painted = _near(across, diameter)
    assert _iou(page.overlay(), page.expected_overlay(painted)) > 0.97

    page.press("r")
    page.stroke((0.35, 0.2), (0.35, 0.4))
    erased = painted & ~_near([(0.35, 0.2), (0.35, 0.4)], diameter)
    assert _iou(page.overlay(), page.expected_overlay(erased)) > 0.97
    page.keep("cable")
    (kept,) = _masks(_export(page, tmp_path))
    assert _iou(kept, erased) > 0.98

    page.press("Control+z", "Control+z")
    assert _iou(page.overlay(), page.expected_overlay(painted)) > 0.97
    page.press("Control+z")
    assert page.overlay_state() == "empty"
    assert not page.button("undo").is_enabled()
    page.press("Control+Shift+z", "Control+Shift+z", "Control+Shift+z")
    assert page.labels() == ["cable"]
    assert np.array_equal(_masks(_export(page, tmp_path))[0], kept)


def test_a_painted_mask_is_the_next_prompt(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo(SIZE))
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    _brush_of(page, 60)
    page.stroke((0.6, 0.5), (0.75, 0.5))
    assert page.scores() == ["no score"]
    assert page.marks() == ["point include"]
    page.choose_tool("exclude")
    page.click(0.1, 0.9)
    page.wait_for_masks(1)
    (prompt,) = json.loads(page.requests("POST", "/masks")[-1]["body"])["prompts"]
    assert prompt["labels"] == [1, 0]
    assert "mask_token" not in prompt
    assert coco.decode(prompt["mask"]["rle"])[300, 650]
    assert page.scores() != ["no score"]
    page.press("Control+z")
    assert page.scores() == ["no score"]


def test_strokes_are_exact_when_zoomed_in(page: Page, pictures: Pictures, tmp_path: Path) -> None:
    page.open(pictures.photo((4000, 3000)))
    page.wheel(0.6, 0.4, -1500)
    page.wait_until(lambda: page.frame()["width"] > 8000)
    _brush_of(page, 1)
    page.stroke((0.6, 0.4), (0.604, 0.4))
    page.keep("line")
    (mask,) = _masks(_export(page, tmp_path))
    rows, columns = np.nonzero(mask)
    assert np.unique(rows).size <= 2
    assert (columns.min(), columns.max()) == pytest.approx((2400, 2416), abs=1)
    assert mask.sum() <= 36


def test_a_kept_object_is_selected_painted_changed_and_deleted(page: Page, pictures: Pictures, tmp_path: Path) -> None:
    page.open(pictures.photo(SIZE))
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("block")
    page.hover(*IN_BLOCK)
    assert _lit(page) == ["block"]
    page.click(*IN_BLOCK)
    assert _selected(page) == ["block"]
    assert page.marks() == []
    assert page.text("announce").startswith("Selected block,")
    (before,) = _masks(_export(page, tmp_path))

    diameter = _brush_of(page, 40)
    page.stroke((0.5, 0.5), (0.95, 0.5))
    (after,) = _masks(_export(page, tmp_path))
    assert _iou(after, before | _near([(0.5, 0.5), (0.95, 0.5)], diameter)) > 0.99
    page.press("Control+z")
    assert np.array_equal(_masks(_export(page, tmp_path))[0], before)

    page.choose_tool("include")
    page.double_click(*IN_BLOCK)
    assert page.text("keep") == "Update"
    page.button("clear").click()
    page.press("Delete")
    assert page.labels() == []
    page.press("Control+z")
    assert page.labels() == ["block"]
    page.click(*IN_BLOCK, shift=True)
    page.wait_for_masks(3)
    assert page.marks() == ["point include"]


def test_by_touch_one_finger_paints_and_two_zoom(page: Page, pictures: Pictures, axe: str) -> None:
    page.use_screen(390, 844, phone=True)
    page.open(pictures.photo(SIZE))
    page.choose_tool("brush")
    assert page.is_shown("brush-row")
    page.stroke_by_touch((0.3, 0.5), (0.5, 0.5), (0.7, 0.5))
    page.wait_until(lambda: page.overlay_state() == "mask")
    painted = page.overlay()
    assert painted.any()
    fitted = page.frame()
    page.pinch(0.5, 0.5, apart=3)
    page.wait_until(lambda: page.frame()["width"] > 2 * fitted["width"])
    page.press("f")
    assert np.array_equal(page.overlay(), painted)
    assert violations(page, axe) == []


def test_the_brush_works_by_keyboard(page: Page, pictures: Pictures) -> None:
    page.open(pictures.photo(SIZE))
    page.tab_to("stage")
    _brush_of(page, 50)
    page.press("Enter", "Arrow_Right", "Enter")
    assert page.overlay_state() == "mask"
    whole = page.overlay().sum()
    page.press("Alt+Enter")
    assert 0 < page.overlay().sum() < whole


def test_an_exported_coco_file_dropped_with_its_pictures_gives_the_same_masks_bit_for_bit(
    page: Page, pictures: Pictures, tmp_path: Path
) -> None:
    photos = [pictures.photo(SIZE, "first.jpg"), pictures.photo((600, 900), "second.jpg")]
    page.open(*photos)
    page.wait_until(lambda: len(page.thumbnails()) == 2)
    page.click(*IN_BLOCK)
    page.wait_for_masks(3)
    page.keep("block")
    _brush_of(page, 33)
    page.stroke((0.1, 0.9), (0.4, 0.95), (0.4, 0.1))
    page.keep("line")
    page.press("n")
    page.wait_until(lambda: page.text("name") == "second.jpg" and page.text("origin"))
    page.stroke((0.2, 0.2), (0.8, 0.8))
    page.keep("block")
    exported = _export(page, tmp_path)
    expected = json.loads(exported.read_text())

    stray = tmp_path / "stray.json"
    image = {"id": 1, "file_name": "third.jpg", "width": 9, "height": 9}
    annotation = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    stray.write_text(json.dumps({"images": [image], "annotations": [annotation], "categories": []}))
    page.load()
    page.give(*photos, exported, stray, event="drop")
    page.wait_until(lambda: page.text("announce") == "Imported 3 objects on 2 pictures.")
    assert page.text("alert-text") == "Not everything was imported. Third.jpg: no open picture has this name."
    assert page.labels() == ["block", "line"]
    again = json.loads(_export(page, tmp_path).read_text())
    assert [_facts(one) for one in again["annotations"]] == [_facts(one) for one in expected["annotations"]]
    assert again["images"] == expected["images"]
    assert again["categories"] == expected["categories"]
    page.press("Control+z")
    assert page.labels() == []


def _facts(annotation: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(annotation[key] for key in ("image_id", "category_id", "segmentation", "area", "bbox"))


def test_one_picture_or_the_view_alone_can_be_exported(page: Page, pictures: Pictures, tmp_path: Path) -> None:
    page.open(pictures.photo(SIZE, "first.jpg"), pictures.photo(SIZE, "second.jpg"))
    page.wait_until(lambda: len(page.thumbnails()) == 2)
    page.choose_tool("brush")
    page.stroke((0.2, 0.2), (0.8, 0.2))
    page.keep("a")
    page.press("n")
    page.wait_until(lambda: page.text("name") == "second.jpg")
    page.stroke((0.2, 0.2), (0.8, 0.2))
    page.keep("b")
    page.button("export").click()
    assert page.text("export-summary") == "2 objects on 2 pictures."
    page.button("export-one").click()
    assert page.text("export-summary") == "1 object on 1 picture."
    page.dismiss()
    images = json.loads(_export(page, tmp_path).read_text())["images"]
    assert [image["file_name"] for image in images] == ["second.jpg"]
    with zipfile.ZipFile(_export(page, tmp_path, "label-studio.zip", "label-studio")) as archive:
        assert [task["data"]["image"] for task in json.loads(archive.read("tasks.json"))] == ["second.jpg"]
    assert b'name="second.jpg"' in _export(page, tmp_path, "annotations.xml", "cvat").read_bytes()
    view = _export(page, tmp_path, "view.png", "view")
    with_image = page.frame()
    with Image.open(view) as image:
        assert image.width / image.height == pytest.approx(with_image["width"] / with_image["height"], rel=0.02)
        assert image.convert("RGB").getpixel((image.width // 2, image.height // 5)) != (40, 150, 60)


def test_the_export_dialog_and_the_help_are_accessible(page: Page, pictures: Pictures, axe: str) -> None:
    page.open(pictures.photo(SIZE))
    page.choose_tool("brush")
    page.stroke((0.2, 0.2), (0.8, 0.2))
    page.keep("a")
    page.button("export").click()
    assert violations(page, axe) == []
    page.dismiss()
    page.press("?")
    assert "smaller, larger brush" in page.text("help-groups")
    assert violations(page, axe) == []
