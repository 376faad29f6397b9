"""`clean`, `tolerance` and mask prompts over HTTP."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.masks_material import coco_decoded, coco_encoded
from tests.support.world import World, png

SIZE = 512
"""Of the picture; the fake model sees blocks of 8 pixels."""

LARGE = (slice(64, 256), slice(64, 256))
SMALL = (slice(320, 400), slice(320, 400))
"""Its lower left half is a part."""
HOLE = (slice(128, 144), slice(128, 160))
LARGE_AREA, SMALL_AREA, HOLE_AREA = 192 * 192, 80 * 81 / 2, 16 * 32
ON_LARGE = {"points": [[90.5, 90.5]], "labels": [1]}
ON_SMALL = {"points": [[330, 380]], "labels": [1]}


def picture() -> bytes:
    """A square with a hole, and a triangle of the same colour."""
    pixels = np.full((SIZE, SIZE, 3), (20, 90, 160), np.uint8)
    pixels[LARGE] = (200, 30, 30)
    pixels[SMALL][np.tri(80, dtype=bool)] = (200, 30, 30)
    pixels[HOLE] = (20, 90, 160)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def image(world: World) -> str:
    return world.ready_image(picture())


def ask(world: World, image: str, *prompts: dict[str, Any], **more: Any) -> Any:
    body = {"prompts": prompts, "multimask": False, **more}
    return world.client.post(f"/v1/images/{image}/masks", json=body)


def first(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    mask: dict[str, Any] = answer.json["results"][0]["masks"][0]
    return mask


def test_cleaning_is_off_unless_it_is_asked_for(world: World, image: str) -> None:
    plain = first(ask(world, image, ON_LARGE))
    assert plain["area"] == pytest.approx(LARGE_AREA + SMALL_AREA - HOLE_AREA, rel=0.1)
    assert first(ask(world, image, ON_LARGE, clean={})) == plain
    off = {"fill_holes": 0, "remove_specks": 0, "keep": "all"}
    assert first(ask(world, image, ON_LARGE, clean=off, tolerance=0)) == plain


def test_holes_are_filled_and_specks_removed_by_area(world: World, image: str) -> None:
    plain = first(ask(world, image, ON_LARGE))["area"]
    filled = first(ask(world, image, ON_LARGE, clean={"fill_holes": 2000}))["area"] - plain
    removed = plain - first(ask(world, image, ON_LARGE, clean={"remove_specks": 4000}))["area"]
    assert filled == pytest.approx(HOLE_AREA, rel=0.4)
    assert removed == pytest.approx(SMALL_AREA, rel=0.3)
    assert first(ask(world, image, ON_LARGE, clean={"fill_holes": 10, "remove_specks": 10}))["area"] == plain


def test_the_largest_or_the_clicked_part_is_kept(world: World, image: str) -> None:
    whole = coco_decoded(first(ask(world, image, ON_SMALL))["rle"])
    small = whole.copy()
    small[: SIZE // 2 + 20] = False
    for keep, expected in (("clicked", small), ("largest", whole & ~small), ("all", whole)):
        mask = first(ask(world, image, ON_SMALL, clean={"keep": keep}))
        assert np.array_equal(coco_decoded(mask["rle"]), expected)
        assert mask["area"] == expected.sum()
        y, x = np.nonzero(expected)
        assert mask["bbox"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


def test_each_format_shows_the_cleaned_mask_but_logits_and_tokens_do_not(world: World, image: str) -> None:
    clean = {"fill_holes": 5000, "keep": "largest"}
    cleaned = {
        form: first(ask(world, image, ON_LARGE, clean=clean, format=form, logits=True))
        for form in ("rle", "png", "polygons", "logits")
    }
    plain = first(ask(world, image, ON_LARGE, logits=True))
    mask = coco_decoded(cleaned["rle"]["rle"])
    assert mask.sum() < plain["area"]
    assert np.array_equal(np.asarray(Image.open(BytesIO(base64.b64decode(cleaned["png"]["png"])))), mask)
    (polygon,) = cleaned["polygons"]["polygons"]
    assert polygon["holes"] == []
    for found in cleaned.values():
        assert found["area"] == mask.sum()
        assert (found["logits"], found["mask_token"]) == (plain["logits"], plain["mask_token"])


def test_polygons_within_a_tolerance_have_fewer_corners_and_other_formats_do_not_change(
    world: World, image: str
) -> None:
    exact, near = (
        first(ask(world, image, ON_LARGE, format="polygons", tolerance=tolerance))["polygons"] for tolerance in (0, 6)
    )
    assert len(near) == len(exact) == 2
    assert len(near[1]["outer"]) < len(exact[1]["outer"])
    assert [len(polygon["holes"]) for polygon in near] == [1, 0]
    assert first(ask(world, image, ON_LARGE, tolerance=6)) == first(ask(world, image, ON_LARGE))


def given() -> NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[80:200, 90:240] = True
    return mask


def as_png(mask: NDArray[Any]) -> dict[str, str]:
    file = BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return {"png": base64.b64encode(file.getvalue()).decode()}


def as_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    return {"rle": {"size": list(mask.shape), "counts": coco_encoded(mask)}}


def test_a_mask_is_a_prompt_with_its_box(world: World, image: str) -> None:
    by_rle, by_png = (first(ask(world, image, {"mask": form(given())})) for form in (as_rle, as_png))
    assert by_rle["rle"] == by_png["rle"]
    logits = np.where(given()[::2, ::2], 6.9, -6.9).astype("<f2")
    text = base64.b64encode(logits.tobytes()).decode()
    told = first(ask(world, image, {"mask_logits": text, "box": [90, 80, 240, 200]}))
    assert (told["area"], told["bbox"]) == (by_rle["area"], by_rle["bbox"])
    left, top, width, height = by_rle["bbox"]
    assert 90 <= left < left + width <= 240
    assert 80 <= top < top + height <= 200


def test_the_box_of_a_mask_reaches_to_the_positive_points(world: World, image: str) -> None:
    beyond = {"points": [[250, 100], [500, 500]], "labels": [1, 0]}
    found = first(ask(world, image, {"mask": as_rle(given()), **beyond}))
    told = first(ask(world, image, {"mask": as_rle(given()), **beyond, "box": [90, 80, 250, 200]}))
    assert found["rle"] == told["rle"]


def test_the_token_of_a_mask_prompt_refines_its_mask(world: World, image: str) -> None:
    token = first(ask(world, image, {"mask": as_rle(given())}))["mask_token"]
    assert first(ask(world, image, {"mask_token": token, **ON_LARGE}))["area"] > 0


def test_several_prompts_may_have_masks(world: World, image: str) -> None:
    answer = ask(world, image, {"mask": as_rle(given())}, ON_SMALL, {"mask": as_png(given())})
    one, _, other = (result["masks"][0] for result in answer.json["results"])
    assert one["rle"] == other["rle"]


def other_size() -> NDArray[np.bool_]:
    return np.ones((SIZE, SIZE - 1), bool)


BAD = {
    "rle of another size": {"mask": as_rle(other_size())},
    "png of another size": {"mask": as_png(other_size())},
    "empty": {"mask": as_rle(np.zeros((SIZE, SIZE), bool))},
    "an rle that does not fill the image": {"mask": {"rle": {"size": [SIZE, SIZE], "counts": "11"}}},
    "an rle of runs as numbers": {"mask": {"rle": {"size": [SIZE, SIZE], "counts": [1, 2]}}},
    "an rle without a size": {"mask": {"rle": {"counts": "11"}}},
    "an rle of no size": {"mask": {"rle": {"size": [0, SIZE], "counts": ""}}},
    "nothing in it": {"mask": {}},
    "both": {"mask": as_rle(given()) | as_png(given())},
    "no base64": {"mask": {"png": "é"}},
    "no png": {"mask": {"png": base64.b64encode(b"GIF89a").decode()}},
    "a png with colours": {"mask": as_png(np.zeros((SIZE, SIZE, 3), np.uint8))},
    "a mask and a token": {"mask": as_rle(given()), "mask_token": "r0"},
    "a mask and logits": {"mask": as_rle(given()), "mask_logits": "AAAA"},
}


@pytest.mark.parametrize("prompt", BAD.values(), ids=BAD.keys())
def test_a_mask_that_is_none_of_this_image_is_refused(world: World, image: str, prompt: dict[str, Any]) -> None:
    answer = ask(world, image, prompt)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt"), answer.text
    assert answer.json["detail"].startswith("prompts/0")


def test_a_png_that_unpacks_to_more_than_the_image_is_not_unpacked(world: World, image: str) -> None:
    bomb = as_png(np.zeros((20_000, 20_000), bool))
    assert len(bomb["png"]) < 200_000
    answer = ask(world, image, {"mask": bomb})
    assert answer.status_code == 422
    assert "20000x20000" in answer.json["detail"]


def test_a_request_has_at_most_sixteen_masks(world: World) -> None:
    image = world.ready_image(png())
    tiny = {"mask": {"rle": {"size": [80, 120], "counts": "PX9"}}}
    answer = ask(world, image, *[tiny] * 17)
    assert answer.status_code == 422
    assert "16" in answer.json["detail"]


@pytest.mark.parametrize(
    "more",
    [
        {"clean": {"fill_holes": -1}},
        {"clean": {"fill_holes": 1.5}},
        {"clean": {"remove_specks": "all"}},
        {"clean": {"remove_specks": 10**10}},
        {"clean": {"keep": "smallest"}},
        {"clean": {"fill": 1}},
        {"clean": True},
        {"tolerance": -0.1},
        {"tolerance": 1001},
        {"tolerance": "1"},
        {"tolerance": True},
    ],
    ids=str,
)
def test_cleaning_without_meaning_is_refused(world: World, image: str, more: dict[str, Any]) -> None:
    answer = ask(world, image, ON_LARGE, **more)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")


PART = [80, 80, 300, 300]


def in_part(world: World, image: str, *prompts: dict[str, Any], **more: Any) -> dict[str, Any]:
    if ask(world, image, *prompts, region=PART).status_code == 409:
        world.encode_next()
    return first(ask(world, image, *prompts, region=PART, **more))


def test_of_a_mask_only_its_part_in_the_region_is_the_prompt(world: World, image: str) -> None:
    left, top, right, bottom = PART
    inside = given()
    inside[:top] = inside[bottom:] = False
    inside[:, :left] = inside[:, right:] = False
    box = {"box": [90, 80, 240, 200]}
    found, cut = (in_part(world, image, {"mask": as_rle(mask), **box}) for mask in (given(), inside))
    assert found["area"]
    assert found["rle"] == cut["rle"]


def test_the_mask_of_a_region_is_cleaned_in_its_place(world: World, image: str) -> None:
    plain = in_part(world, image, ON_LARGE)
    cleaned = in_part(world, image, ON_LARGE, clean={"fill_holes": 5000, "keep": "clicked"})
    filled = coco_decoded(cleaned["rle"])
    assert filled.sum() == cleaned["area"] > plain["area"]
    assert filled[HOLE].all()
    assert not filled[:80].any()
