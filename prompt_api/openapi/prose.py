"""Writes descriptions and examples as HTML. It knows the part of CommonMark that they use, and colours JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from markupsafe import Markup, escape

_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\((https?://[^)\s]+)\)")
_JSON = re.compile(r'("(?:[^"\\]|\\.)*")(:?)|(-?\d[\d.eE+-]*|true|false|null)')
_LINE = 62
"""Most characters of a JSON array or object that stays on one line."""


def prose(text: str) -> Markup:
    """Write text with paragraphs, `- ` lists, code, bold and links as HTML."""
    blocks = []
    for block in filter(None, text.strip().split("\n\n")):
        lines = block.split("\n")
        start = next((number for number, line in enumerate(lines) if line.startswith("- ")), len(lines))
        if start:
            blocks.append(Markup("<p>{}</p>").format(inline(" ".join(lines[:start]))))
        items = "\n".join(lines[start:]).removeprefix("- ").split("\n- ") if start < len(lines) else []
        if items:
            listed = Markup("").join(Markup("<li>{}</li>").format(inline(item)) for item in items)
            blocks.append(Markup("<ul>{}</ul>").format(listed))
    return Markup("\n").join(blocks)


def inline(text: str) -> Markup:
    """Write a line with code, bold and links as HTML."""
    parts, at = [], 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[at : found.start()]))
        code, bold, label, address = found.groups()
        if code:
            parts.append(Markup("<code>{}</code>").format(code))
        elif bold:
            parts.append(Markup("<strong>{}</strong>").format(bold))
        else:
            parts.append(Markup('<a href="{}">{}</a>').format(address, label))
        at = found.end()
    return Markup("").join([*parts, escape(text[at:])])


def json_text(value: Any, indent: int = 0) -> str:
    """Write JSON for people. An array or object that fits on one line stays on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or len(flat) + indent <= _LINE:
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        inner = [f"{json.dumps(key)}: {json_text(item, indent + 2)}" for key, item in value.items()]
        opening, closing = "{", "}"
    else:
        inner = [json_text(item, indent + 2) for item in value]
        opening, closing = "[", "]"
    lines = f",\n{pad}".join(inner)
    return f"{opening}\n{pad}{lines}\n{' ' * indent}{closing}"


def json_markup(value: Any) -> Markup:
    """Write `json_text` as HTML, with names, strings and other values in spans of the classes `k`, `s` and `n`."""
    text = json_text(value)
    parts, at = [], 0
    for found in _JSON.finditer(text):
        string, colon, number = found.groups()
        kind = "n" if number else "k" if colon else "s"
        parts.append(escape(text[at : found.start()]))
        parts.append(Markup('<span class="{}">{}</span>{}').format(kind, number or string, colon or ""))
        at = found.end()
    return Markup("").join([*parts, escape(text[at:])])
