"""Reads from a project's labeling configuration which image a prompt lies on and which tag takes the mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from prompt_api.integrations.label_studio.wire import Task
from shared.contract.errors import InvalidPrompt

MASK_TAGS = ("brushlabels", "polygonlabels", "brush", "polygon")
"""The tags, in lower case, whose regions can hold a mask."""

MAX_TAGS = 10_000


@dataclass(frozen=True, slots=True)
class ImageTag:
    """An `Image` tag.

    Attributes:
        name: the name that other tags have in `toName`.
        key: name of the task's value that holds the image or the list of its pages.
    """

    name: str
    key: str


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
        value: Any = task.data.get(tag.key)
        if isinstance(value, list):
            page = page or 0
            value = value[page] if page < len(value) else None
        if not isinstance(value, str) or not value:
            raise InvalidPrompt(f"the task has no image under {tag.key!r}")
        return value

    def pictures(self, task: Task) -> list[str]:
        """Return the references to all images of the task."""
        values = [task.data.get(tag.key) for tag in self.images.values()]
        flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
        return [one for one in flat if isinstance(one, str) and one]

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

    def _labels_tag(self, to_name: str, label: str) -> ControlTag | None:
        tags = (tag for tag in self.controls if tag.kind == "labels" and to_name in tag.to_names)
        return next((tag for tag in tags if tag.takes(label)), None)


def parse_label_config(xml: str) -> LabelConfig:
    """Parse a labeling configuration.

    Raises:
        InvalidPrompt: it is not XML, has too many tags, or has a document type, whose entities could expand to any
            size.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise InvalidPrompt(f"label_config is not XML: {error}") from None
    return LabelConfig({tag.name: tag for tag in reader.images}, tuple(reader.controls))


class _Reader:
    """Collects tags while the parser reads them."""

    def __init__(self) -> None:
        self.images: list[ImageTag] = []
        self.controls: list[ControlTag] = []
        self._open: list[ControlTag | None] = []
        self._seen = 0

    def doctype(self, *_: object) -> None:
        raise InvalidPrompt("label_config must not have a document type")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._seen += 1
        if self._seen > MAX_TAGS:
            raise InvalidPrompt(f"label_config has more than {MAX_TAGS} tags")
        control = None
        name = attributes.get("name")
        if tag == "Image" and name:
            source = attributes.get("valueList") or attributes.get("value", "")
            self.images.append(ImageTag(name, source.removeprefix("$")))
        elif tag == "Label":
            self._add_label(attributes)
        elif name:
            control = ControlTag(tag.lower(), name, tuple(attributes.get("toName", "").split(",")))
            self.controls.append(control)
        around = self._open[-1] if self._open else None
        self._open.append(control or around)

    def end(self, _tag: str) -> None:
        self._open.pop()

    def _add_label(self, attributes: dict[str, str]) -> None:
        around = self._open[-1] if self._open else None
        # Label Studio writes a label's alias instead of its value, if it has one.
        label = attributes.get("alias") or attributes.get("value")
        if around is not None and label:
            around.labels.append(label)
