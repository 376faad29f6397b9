"""Reads from a project's labeling configuration which image a prompt lies on and which tag takes the mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prompt_api.integrations.label_studio.config_tree import OBJECT_TAGS, ConfigNode, Expansion, parse_tree
from prompt_api.integrations.label_studio.task_values import resolved
from prompt_api.integrations.label_studio.wire import Task
from shared.contract.errors import InvalidPrompt

MASK_TAGS = ("brushlabels", "polygonlabels", "brush", "polygon")
"""The tags, in lower case, whose regions can hold a mask."""


@dataclass(frozen=True, slots=True)
class ImageTag:
    """An `Image` tag.

    Attributes:
        name: the name that other tags have in `toName`.
        source: says where in the task the image or the list of its pages is, such as `$page.image`.
    """

    name: str
    source: str


@dataclass(slots=True)
class ControlTag:
    """A tag that makes regions or labels them.

    Attributes:
        kind: the tag in lower case, which is the `type` of its regions.
        name: the `from_name` of its regions.
        to_names: names of the tags that it works on.
        labels: values of its `Label` tags; empty if it has none or takes them from the task.
    """

    kind: str
    name: str
    to_names: tuple[str, ...]
    labels: list[str] = field(default_factory=list)

    def takes(self, label: str | None) -> bool:
        return not self.labels or label in self.labels


@dataclass(frozen=True, slots=True)
class MaskTarget:
    """The tag and the label that a mask gets.

    Attributes:
        tag: the tag that makes the region.
        label: label of the region, or None.
        labels_tag: the `Labels` tag that the label belongs to, if `tag` cannot have labels.
    """

    tag: ControlTag
    label: str | None
    labels_tag: ControlTag | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image of a task is shown.

    Attributes:
        to_name: name of the `Image` tag.
        page: index of the page if the `Image` tag has several, otherwise None.
        reference: the task's reference to the image: a URL, a path or a data URL.
    """

    to_name: str
    page: int | None
    reference: str


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """Attributes:
    images: `Image` tags by name.
    controls: all other tags that have a name, in document order.
    """

    images: Mapping[str, ImageTag]
    controls: tuple[ControlTag, ...]

    def picture(self, task: Task, to_name: str, page: int | None) -> str:
        """Return the task's reference to the image of an `Image` tag: a URL, a path or a data URL.

        Raises:
            InvalidPrompt: the label config has no such tag, or the task has no such value.
        """
        tag = self.images.get(to_name)
        if tag is None:
            raise InvalidPrompt(f"the label config has no Image named {to_name!r}")
        value: Any = resolved(tag.source, task.data)
        if isinstance(value, list):
            page = page or 0
            value = value[page] if page < len(value) else None
        if not isinstance(value, str) or not value:
            raise InvalidPrompt(f"the task has no image under {tag.source.removeprefix('$')!r}")
        return value

    def pictures(self, task: Task) -> list[str]:
        """Return the references to all images of the task."""
        return [place.reference for place in self.places(task)]

    def places(self, task: Task) -> Iterator[Place]:
        """Yield each image of the task with the tag and the page that show it."""
        for tag in self.images.values():
            value: Any = resolved(tag.source, task.data)
            paged = isinstance(value, list)
            for page, one in enumerate(value if paged else [value]):
                if isinstance(one, str) and one:
                    yield Place(tag.name, page if paged else None, one)

    def target(self, to_name: str, label: str | None) -> MaskTarget:
        """Return the tag for a mask on `to_name` whose prompt has the label `label`.

        It is the first tag that has the label. If no tag has it, it is the first tag with a single label, and the
        region gets that label.

        Raises:
            InvalidPrompt: the label config has no such tag.
        """
        tags = [tag for tag in self.controls if tag.kind in MASK_TAGS and to_name in tag.to_names]
        for tag in tags:
            if tag.takes(label):
                separate = tag.kind in ("brush", "polygon")
                return MaskTarget(tag, label, self._labels_tag(to_name, label) if separate and label else None)
        for tag in tags:
            if len(tag.labels) == 1:
                return MaskTarget(tag, tag.labels[0])
        if not tags:
            raise InvalidPrompt(f"the label config has no BrushLabels or PolygonLabels for {to_name!r}")
        raise InvalidPrompt(f"no BrushLabels or PolygonLabels for {to_name!r} has the label {label!r}")

    def any_target(self, to_name: str) -> MaskTarget:
        """Return the tag for a mask on `to_name` that nobody chose a label for: the first, with its first label.

        A `Brush` or `Polygon` gives the mask without a label.

        Raises:
            InvalidPrompt: the label config has no such tag.
        """
        tags = (tag for tag in self.controls if tag.kind in MASK_TAGS and to_name in tag.to_names)
        tag = next(tags, None)
        if tag is None:
            raise InvalidPrompt(f"the label config has no BrushLabels or PolygonLabels for {to_name!r}")
        return MaskTarget(tag, tag.labels[0] if tag.labels else None)

    def _labels_tag(self, to_name: str, label: str) -> ControlTag | None:
        tags = (tag for tag in self.controls if tag.kind == "labels" and to_name in tag.to_names)
        return next((tag for tag in tags if tag.takes(label)), None)


class LabelConfigs:
    """The label config of each task of a request. Tasks have different ones only if it has a `Repeater`."""

    def __init__(self, xml: str) -> None:
        """Raises:
        InvalidPrompt: `xml` is not a label config that can be read; see `parse_tree`.
        """
        self._root = parse_tree(xml)
        self._expansion = Expansion()
        self._common = None if self._expansion.has_repeater(self._root) else _config(self._root)

    def of(self, task: Task) -> LabelConfig:
        """Return the label config of `task`.

        Raises:
            InvalidPrompt: its repeaters make too many tags of it.
        """
        if self._common is not None:
            return self._common
        return _config(self._expansion.expanded(self._root, task.data))


def parse_label_config(xml: str, data: Mapping[str, Any] | None = None) -> LabelConfig:
    """Parse the label config of one task whose values are `data`.

    Raises:
        InvalidPrompt: as `LabelConfigs`.
    """
    return LabelConfigs(xml).of(Task(data=dict(data or {})))


def _config(root: ConfigNode) -> LabelConfig:
    """Collect the tags as Label Studio's editor does.

    A tag without `toName` works on the only object tag, if there is just one.
    """
    named = [node for node in root.walk() if node.name]
    objects = [node.name for node in named if node.kind in OBJECT_TAGS]
    default = objects[0] if len(objects) == 1 else ""
    images: dict[str, ImageTag] = {}
    controls: list[ControlTag] = []
    for node in named:
        attributes = node.attributes
        if node.kind == "image":
            source = attributes.get("valuelist") or attributes.get("value", "")
            images[node.name] = ImageTag(node.name, source)
        elif node.kind not in {*OBJECT_TAGS, "label"}:
            to_names = (attributes.get("toname") or default).split(",")
            names = tuple(name.strip() for name in to_names)
            controls.append(ControlTag(node.kind, node.name, names, [*_labels(node)]))
    return LabelConfig(images, tuple(controls))


def _labels(control: ConfigNode) -> Iterator[str]:
    """Yield the labels of a tag, but not those of a named tag inside it."""
    for node in control.children:
        if node.kind == "label":
            # Label Studio writes a label's alias instead of its value, if it has one.
            label = node.attributes.get("alias") or node.attributes.get("value")
            if label:
                yield label
        elif not node.name:
            yield from _labels(node)
