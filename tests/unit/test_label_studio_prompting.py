"""An annotator's drawing becomes prompts: percent become pixels, points are grouped, and a label is chosen."""

from __future__ import annotations

from typing import Any

import pytest

from prompt_api.integrations.label_studio.prompting import Interaction, interaction
from prompt_api.integrations.label_studio.wire import Drawn
from shared.contract.errors import InvalidPrompt

SIZE = (400, 600)


def point(x: float, y: float, *, positive: bool = True, label: str = "Cup", **more: Any) -> Drawn:
    value = {"x": x, "y": y, "width": 0.23, "labels": [label], "keypointlabels": [label]}
    return Drawn.model_validate(
        {"id": "p", "type": "keypointlabels", "to_name": "image", "is_positive": positive, "value": value, **more}
    )


def box(x: float, y: float, width: float, height: float, *, rotation: float = 0, label: str = "Cup") -> Drawn:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation, "rectanglelabels": [label]}
    return Drawn.model_validate({"id": "b", "type": "rectanglelabels", "to_name": "image", "value": value})


def found(*drawn: Drawn) -> Interaction:
    result = interaction(drawn)
    assert result is not None
    return result


def test_points_are_in_percent_of_width_and_height() -> None:
    ((prompt, label),) = found(point(50, 25), point(10, 90, positive=False)).prompts(SIZE)
    assert (prompt.points, prompt.labels, label) == (((300, 100), (60, 360)), (1, 0), "Cup")


def test_each_rectangle_asks_for_an_object_of_its_own() -> None:
    prompts = found(box(10, 10, 20, 30), box(50, 50, 10, 10, label="Spoon")).prompts(SIZE)
    assert [(prompt.box, label) for prompt, label in prompts] == [
        ((60, 40, 180, 160), "Cup"),
        ((300, 200, 360, 240), "Spoon"),
    ]


def test_points_and_a_rectangle_ask_for_one_object() -> None:
    ((prompt, _),) = found(box(1, 1, 2, 2), box(10, 10, 20, 30), point(15, 15, positive=False)).prompts(SIZE)
    assert (prompt.points, prompt.labels, prompt.box) == (((90, 60),), (0,), (60, 40, 180, 160))


def test_a_turned_rectangle_becomes_the_upright_box_around_it() -> None:
    ((prompt, _),) = found(box(50, 50, 10, 20, rotation=90)).prompts(SIZE)
    assert prompt.box == pytest.approx([220, 200, 300, 260])  # 60x80 pixels, turned clockwise around (300, 200)


def test_only_negative_points_ask_for_nothing() -> None:
    assert found(point(50, 50, positive=False)).prompts(SIZE) == []


def test_a_label_may_come_in_an_entry_of_its_own() -> None:
    bare = Drawn.model_validate({"id": "k", "type": "keypoint", "to_name": "image", "value": {"x": 50, "y": 50}})
    label = Drawn.model_validate({"id": "k", "type": "labels", "to_name": "image", "value": {"labels": ["Cup"]}})
    ((_, labelled),) = found(bare, label).prompts(SIZE)
    ((_, unlabelled),) = found(bare).prompts(SIZE)
    assert (labelled, unlabelled) == ("Cup", None)


def test_what_lies_on_another_image_or_page_than_the_latest_is_left_out() -> None:
    drawn = found(point(1, 1, to_name="other"), point(2, 2, item_index=0), point(50, 50, item_index=1))
    ((prompt, _),) = drawn.prompts(SIZE)
    assert (prompt.points, drawn.to_name, drawn.page) == (((300, 200),), "image", 1)


def test_regions_that_are_no_prompts_ask_for_nothing() -> None:
    brush = {"type": "brushlabels", "to_name": "image", "value": {"format": "rle", "rle": [0], "brushlabels": ["Cup"]}}
    assert interaction([Drawn.model_validate(brush)]) is None
    assert interaction([]) is None


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (point(50, 50, image_rotation=90), "rotated"),
        (box(10, 10, 0, 10), "x0 < x1"),
        (Drawn.model_validate({"type": "keypoint", "to_name": "image", "value": {}}), "no x and y"),
        (Drawn.model_validate({"type": "rectangle", "to_name": "image", "value": {"x": 1, "y": 1}}), "no width"),
    ],
    ids=["image rotated", "no area", "no place", "no size"],
)
def test_prompts_that_mean_nothing_are_refused(drawn: Drawn, words: str) -> None:
    with pytest.raises(InvalidPrompt, match=words):
        found(drawn).prompts(SIZE)
