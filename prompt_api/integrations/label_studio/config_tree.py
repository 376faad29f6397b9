"""Reads a labeling configuration into a tree of tags, and repeats the tags of a `Repeater`, as the editor does.

Source: `treeToModel` and `extractNames` in Label Studio's web/libs/editor/src/core/Tree.tsx.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from prompt_api.integrations.label_studio.task_values import resolved
from shared.contract.errors import InvalidPrompt

OBJECT_TAGS = frozenset(
    {
        "audio",
        "custominterface",
        "image",
        "list",
        "pairwise",
        "paragraphs",
        "pdf",
        "ranker",
        "table",
        "timeseries",
        "video",
    }
)
"""The tags, in lower case, that Label Studio's editor counts when a tag has no `toName`. `Text` is not among them."""

MAX_TAGS = 10_000
"""Most tags of a label config."""

MAX_REPEATED = 100_000
"""Most tags that the repeaters of a request may make, for all its tasks together."""

MAX_DEPTH = 100


@dataclass(slots=True)
class ConfigNode:
    """A tag.

    Attributes:
        kind: the tag in lower case.
        attributes: by name in lower case.
        children: the tags inside it.
    """

    kind: str
    attributes: dict[str, str]
    children: list[ConfigNode] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.attributes.get("name", "")

    def walk(self) -> Iterator[ConfigNode]:
        """Yield this tag and all tags inside it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse_tree(xml: str) -> ConfigNode:
    """Parse a labeling configuration. Tags and attributes may be in any case.

    Raises:
        InvalidPrompt: it is not XML, has too many tags or too deep ones, or has a document type, whose entities could
            expand to any size.
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
    return reader.root


class _Reader:
    """Collects tags while the parser reads them."""

    def __init__(self) -> None:
        self.root = ConfigNode("", {})
        self._open = [self.root]
        self._seen = 0

    def doctype(self, *_: object) -> None:
        raise InvalidPrompt("label_config must not have a document type")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._seen += 1
        if self._seen > MAX_TAGS:
            raise InvalidPrompt(f"label_config has more than {MAX_TAGS} tags")
        if len(self._open) > MAX_DEPTH:
            raise InvalidPrompt(f"label_config has more than {MAX_DEPTH} tags inside each other")
        node = ConfigNode(tag.lower(), {name.lower(): value for name, value in attributes.items()})
        self._open[-1].children.append(node)
        self._open.append(node)

    def end(self, _tag: str) -> None:
        node = self._open.pop()
        if node.kind == "hypertext":  # what is inside is text to show
            node.children.clear()


class Expansion:
    """Repeats the tags of repeaters. One object counts the tags of all tasks of a request."""

    def __init__(self) -> None:
        self._made = 0

    @staticmethod
    def has_repeater(root: ConfigNode) -> bool:
        return any(node.kind == "repeater" for node in root.walk())

    def expanded(self, root: ConfigNode, data: Mapping[str, Any]) -> ConfigNode:
        """Return a copy of the tree for a task with the values `data`.

        Raises:
            InvalidPrompt: the repeaters of the request make too many tags.
        """
        return self._copy(root, data, {})

    def _copy(self, node: ConfigNode, data: Mapping[str, Any], replaced: Mapping[str, str]) -> ConfigNode:
        self._count()
        attributes = {name: _once(value, replaced) for name, value in node.attributes.items()}
        if node.kind != "repeater":
            return ConfigNode(node.kind, attributes, [self._copy(child, data, {}) for child in node.children])
        flag = attributes.get("indexflag", "{{idx}}")
        items = resolved(attributes.get("on", ""), data)
        count = len(items) if isinstance(items, list) and node.children else 0
        views = [
            ConfigNode("view", {}, [self._repeated(child, data, replaced, flag, index) for child in node.children])
            for index in range(count)
        ]
        return ConfigNode("view", attributes, views)

    def _repeated(
        self, node: ConfigNode, data: Mapping[str, Any], replaced: Mapping[str, str], flag: str, index: int
    ) -> ConfigNode:
        """Return one repetition of `node`.

        The editor replaces the flag once in each attribute of the copy, and once more in those of the repeater's own
        children.
        """
        number = {flag: str(index)}
        return self._copy(self._with(node, number), data, {**replaced, **number})

    def _with(self, node: ConfigNode, replaced: Mapping[str, str]) -> ConfigNode:
        self._count()
        attributes = {name: _once(value, replaced) for name, value in node.attributes.items()}
        return ConfigNode(node.kind, attributes, [self._with(child, replaced) for child in node.children])

    def _count(self) -> None:
        self._made += 1
        if self._made > MAX_REPEATED:
            raise InvalidPrompt(f"the Repeater tags of label_config make more than {MAX_REPEATED} tags")


def _once(value: str, replaced: Mapping[str, str]) -> str:
    for flag, number in replaced.items():
        value = value.replace(flag, number, 1)
    return value
