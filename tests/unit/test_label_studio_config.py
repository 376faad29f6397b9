"""Label configs: where a prompt's image is, and which tag the mask belongs to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prompt_api.integrations.label_studio.config import MASK_TAGS, LabelConfig, LabelConfigs, parse_label_config
from prompt_api.integrations.label_studio.config_tree import MAX_REPEATED
from prompt_api.integrations.label_studio.task_values import resolved
from prompt_api.integrations.label_studio.wire import Task
from shared.contract.errors import InvalidPrompt

CUP, SPOON = '<Label value="Cup"/>', '<Label value="Spoon"/>'


def config(*tags: str) -> LabelConfig:
    return parse_label_config(f'<View><Image name="image" value="$photo"/>{"".join(tags)}</View>')


def brush(name: str, labels: str = CUP + SPOON, to_name: str = "image") -> str:
    return f'<BrushLabels name="{name}" toName="{to_name}">{labels}</BrushLabels>'


def polygons(name: str, labels: str = CUP + SPOON) -> str:
    return f'<PolygonLabels name="{name}" toName="image">{labels}</PolygonLabels>'


def test_the_mask_goes_to_the_tag_that_has_the_label() -> None:
    target = config(brush("cups", CUP), polygons("spoons", SPOON)).target("image", "Spoon")
    assert (target.tag.kind, target.tag.name, target.label) == ("polygonlabels", "spoons", "Spoon")


def test_the_first_of_several_matching_tags_takes_the_mask() -> None:
    assert config(polygons("outline"), brush("mask")).target("image", "Cup").tag.name == "outline"


def test_a_tag_of_another_image_does_not_take_it() -> None:
    both = config('<Image name="other" value="$other"/>', brush("there", to_name="other"), brush("here"))
    assert both.target("image", "Cup").tag.name == "here"
    assert both.target("other", "Cup").tag.name == "there"


def test_an_unknown_label_becomes_the_only_known_one() -> None:
    target = config(brush("mask", CUP)).target("image", "Foreground")
    assert (target.tag.name, target.label) == ("mask", "Cup")


def test_an_unknown_label_is_refused_if_there_are_several() -> None:
    with pytest.raises(InvalidPrompt, match="'Foreground'"):
        config(brush("mask")).target("image", "Foreground")


def test_labels_that_come_with_the_task_are_taken_as_they_are() -> None:
    dynamic = config('<BrushLabels name="mask" toName="image" value="$labels"/>')
    assert dynamic.target("image", "Saucer").label == "Saucer"


def test_an_alias_stands_for_its_label() -> None:
    aliased = config(brush("mask", '<Label value="A cup" alias="cup"/>' + SPOON))
    assert aliased.target("image", "cup").label == "cup"


def test_a_brush_without_labels_of_its_own_is_labelled_by_the_tag_that_has_them() -> None:
    tags = f'<Labels name="label" toName="image">{CUP}</Labels><Brush name="mask" toName="image"/>'
    target = config(tags).target("image", "Cup")
    assert target.labels_tag is not None
    assert (target.tag.kind, target.labels_tag.name) == ("brush", "label")
    assert config(tags).target("image", None).labels_tag is None


def test_a_config_without_a_tag_for_masks_is_refused() -> None:
    with pytest.raises(InvalidPrompt, match="BrushLabels or PolygonLabels"):
        config('<KeyPointLabels name="point" toName="image"/>').target("image", "Cup")


def test_labels_inside_other_views_still_belong_to_their_tag() -> None:
    nested = config(f'<BrushLabels name="mask" toName="image"><View>{CUP}</View></BrushLabels>{polygons("rest")}')
    assert nested.target("image", "Spoon").tag.name == "rest"


def test_the_image_is_the_value_that_the_tag_names() -> None:
    task = Task(data={"photo": "/data/upload/1/a.jpg", "text": "hello"})
    assert config().picture(task, "image", None) == "/data/upload/1/a.jpg"
    assert config().pictures(task) == ["/data/upload/1/a.jpg"]


def test_an_image_of_several_pages_is_the_page_that_was_drawn_on() -> None:
    pages = parse_label_config('<View><Image name="image" valueList="$pages"/></View>')
    task = Task(data={"pages": ["/data/upload/1/a.jpg", "/data/upload/1/b.jpg"]})
    assert pages.picture(task, "image", 1) == "/data/upload/1/b.jpg"
    assert pages.pictures(task) == task.data["pages"]
    with pytest.raises(InvalidPrompt, match="no image under 'pages'"):
        pages.picture(task, "image", 2)


@pytest.mark.parametrize("value", [None, "", 7, {"url": "/data/upload/1/a.jpg"}])
def test_a_task_without_an_image_is_refused(value: object) -> None:
    with pytest.raises(InvalidPrompt, match="no image under 'photo'"):
        config().picture(Task(data={"photo": value}), "image", None)
    with pytest.raises(InvalidPrompt, match="no Image named 'other'"):
        config().picture(Task(data={}), "other", None)


BOMB = '<!DOCTYPE View [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]><View>&b;</View>'


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("", "not XML"),
        ("<View>", "not XML"),
        ("Dear annotator", "not XML"),
        (BOMB, "document type"),
        ('<!DOCTYPE View SYSTEM "file:///etc/passwd"><View/>', "document type"),
        ("<View>" + "<Header/>" * 10_000 + "</View>", "more than 10000 tags"),
        ("<View>" * 200 + "</View>" * 200, "more than 100 tags inside each other"),
    ],
)
def test_what_is_not_a_label_config_is_refused(xml: str, words: str) -> None:
    with pytest.raises(InvalidPrompt, match=words):
        parse_label_config(xml)


RECORDED = json.loads((Path(__file__).parent / "label_studio_configs.json").read_text(encoding="utf-8"))
"""What the editor of Label Studio 1.23.2 makes of label configs: `treeToModel` and `extractNames` of its core/Tree.tsx
and `parseValue` of its utils/data.js, run in Node with jsdom. `toname` is null for a tag that works on nothing."""


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["case"])
def test_a_label_config_is_read_as_label_studio_reads_it(recorded: dict[str, Any]) -> None:
    found = parse_label_config(recorded["xml"], recorded["data"])
    images = {name: resolved(tag.source, recorded["data"]) or "" for name, tag in found.images.items()}
    assert images == recorded["images"]
    controls = [
        {"type": tag.kind, "name": tag.name, "toname": ",".join(tag.to_names) or None, "labels": tag.labels}
        for tag in found.controls
        if tag.kind in (*MASK_TAGS, "labels")
    ]
    assert controls == recorded["controls"]


REPEATER = '<View><Repeater on="$pages"><Image name="page_{{idx}}" value="$pages[{{idx}}]"/></Repeater></View>'


def test_each_task_has_its_own_repetitions() -> None:
    configs = LabelConfigs(REPEATER)
    for pages in (["a.jpg"], ["b.jpg", "c.jpg"], []):
        task = Task(data={"pages": pages})
        assert configs.of(task).pictures(task) == pages
    plain = LabelConfigs(brush("mask"))
    assert plain.of(Task(data={})) is plain.of(Task(data={"pages": []}))


def test_repetitions_are_bounded_over_all_tasks() -> None:
    configs = LabelConfigs(REPEATER)
    task = Task(data={"pages": ["a.jpg"] * (MAX_REPEATED // 3)})
    configs.of(task)
    with pytest.raises(InvalidPrompt, match="Repeater"):
        configs.of(task)


@pytest.mark.parametrize(
    "path", ["$", "$a[", "$a]", "$a[-1]", "$a[1]", "$a[99999999999999999999]", "$a.b", "$..", "$b.c", "x $a"]
)
def test_a_path_that_leads_nowhere_is_no_value(path: str) -> None:
    assert resolved(path, {"a": ["one"], "b": 7}) in (None, "$", ["one"])
