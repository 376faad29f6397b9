"""Finds the value of a task that an attribute of the label config names, as Label Studio's editor does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"\$[\w\[\].{}]+", re.ASCII)
"""A variable in an attribute. Source: `parseValue` in Label Studio's web/libs/editor/src/utils/data.js."""

_STEP = re.compile(r"[^.\[\]]+")


def resolved(text: str, data: Mapping[str, Any]) -> Any:
    """Return the value of `text` in a task.

    `$image` gives a value of any type, `$page.images[1]` a value inside others. Variables within a longer text are
    replaced by their values. A text without a variable stays as it is. A value that is not there is None.

    Args:
        text: the attribute, such as `value` of an `Image`.
        data: the task's values.
    """
    if _VARIABLE.fullmatch(text):
        return _at(text[1:], data)
    found = {name: _at(name[1:], data) for name in _VARIABLE.findall(text)}
    if any(not isinstance(value, (str, int, float)) for value in found.values()):
        return None
    return _VARIABLE.sub(lambda match: str(found[match[0]]), text)


def _at(path: str, data: Mapping[str, Any]) -> Any:
    """Return the value at a path such as `a.b[1]`. A key with the name of the whole path comes first."""
    if path in data:
        return data[path]
    steps = _STEP.findall(path)
    value: Any = data if steps else None
    for step in steps:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 10:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value
