"""Turns the OpenAPI document into the variables of the reference page's template. It resolves every reference."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from markupsafe import Markup

from prompt_api.openapi.curl import commands, program
from prompt_api.openapi.prose import inline, json_markup, prose
from prompt_api.wire.problems import MEDIA_TYPE

_SCHEMAS = "#/components/schemas/"

_BOUNDS = (
    ("minimum", "at least", ""),
    ("maximum", "at most", ""),
    ("maxLength", "at most", " characters"),
    ("pattern", "matches", ""),
    ("default", "default", ""),
)
"""JSON Schema keywords that the page shows beside a type, each with the words before and after its value."""


def reference(document: dict[str, Any], base: str) -> dict[str, Any]:
    """Return the variables of `reference.html`.

    Args:
        base: URL of the service without a final slash, for the examples.
    """
    page = _Page(document, base)
    return {
        "info": document["info"],
        "about": prose(document["info"]["description"]),
        "base": base,
        "curl": program(document["paths"]["/v1/images"]["post"]),
        "groups": [page.group(tag) for tag in document["tags"]],
        "types": [page.type(name) for name in sorted(document["components"]["schemas"])],
        "errors": page.errors(),
    }


class _Page:
    def __init__(self, document: dict[str, Any], base: str) -> None:
        self._document = document
        self._base = base

    def group(self, tag: dict[str, Any]) -> dict[str, Any]:
        operations = [
            self._operation(method.upper(), path, operation)
            for path, item in self._document["paths"].items()
            for method, operation in item.items()
            if tag["name"] in operation["tags"]
        ]
        name = tag["name"]
        return {
            "name": name,
            "id": name.lower().replace(" ", "-"),
            "about": prose(tag["description"]),
            "operations": operations,
        }

    def type(self, name: str) -> dict[str, Any]:
        """Return a type with its members or its possible values."""
        schema = self._document["components"]["schemas"][name]
        required = schema.get("required", [])
        members = [
            {
                "name": member,
                "required": member in required,
                "type": self._words(described),
                "limits": _limits(described),
                "about": inline(described.get("description", "")),
            }
            for member, described in schema.get("properties", {}).items()
        ]
        return {
            "name": name,
            "about": prose(schema.get("description", "")),
            "members": members,
            "values": schema.get("enum", []),
        }

    def errors(self) -> list[dict[str, Any]]:
        """Return every example of a problem document, ordered by status."""
        examples = self._document["components"]["examples"]
        rows = [
            {
                "code": code,
                "status": example["value"]["status"],
                "about": example["summary"],
                "example": json_markup(example["value"]),
            }
            for code, example in examples.items()
        ]
        return sorted(rows, key=lambda row: (row["status"], row["code"]))

    def _operation(self, method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
        parameters = [self._resolved(parameter) for parameter in operation.get("parameters", [])]
        responses = [self._response(status, response) for status, response in operation["responses"].items()]
        return {
            "id": operation["operationId"],
            "method": method,
            "path": path,
            "summary": operation["summary"],
            "about": prose(operation["description"]),
            "parameters": [
                {
                    "name": parameter["name"],
                    "in": parameter["in"],
                    "required": parameter.get("required", False),
                    "type": self._words(parameter["schema"]),
                    "limits": _limits(parameter["schema"]),
                    "about": inline(parameter["description"]),
                }
                for parameter in parameters
            ],
            "body": self._body(operation.get("requestBody")),
            "commands": self._commands(method, path, operation, parameters),
            "answers": [response for response in responses if not response["codes"]],
            "refusals": [
                {"status": response["status"], "code": code, "about": self._meaning(code)}
                for response in responses
                for code in response["codes"]
            ],
        }

    def _commands(
        self, method: str, path: str, operation: dict[str, Any], parameters: list[dict[str, Any]]
    ) -> list[dict[str, str]]:
        content = operation.get("requestBody", {}).get("content", {})
        examples = [
            example["summary"] for described in content.values() for example in described.get("examples", {}).values()
        ]
        lines = commands(method, path, operation, parameters, self._base)
        titles = examples or (["The raw file", "In a form"] if content else ["Request"])
        return [{"title": title, "text": line} for title, line in zip(titles, lines, strict=True)]

    def _body(self, body: dict[str, Any] | None) -> dict[str, Any] | None:
        if body is None:
            return None
        schema = next(iter(body["content"].values()))["schema"]
        return {
            "about": prose(body["description"]),
            "kinds": list(body["content"]),
            "types": [self.type(name) for name in self._reached(schema)],
        }

    def _reached(self, schema: Any) -> list[str]:
        """Return the names of all types that a schema refers to, directly or through other types."""
        found: list[str] = []
        pending: list[Any] = [schema]
        while pending:
            at = pending.pop(0)
            if isinstance(at, dict):
                name = str(at.get("$ref", "")).removeprefix(_SCHEMAS)
                if name and name not in found:
                    found.append(name)
                    pending.append(self._document["components"]["schemas"][name])
                pending.extend(at.values())
            elif isinstance(at, list):
                pending.extend(at)
        return found

    def _response(self, status: str, response: dict[str, Any]) -> dict[str, Any]:
        content = response.get("content", {})
        kind: str = next(iter(content), "")
        described: dict[str, Any] = content.get(kind, {})
        problem = kind == MEDIA_TYPE
        shown = [self._resolved(example) for example in described.get("examples", {}).values()]
        return {
            "status": status,
            "phrase": HTTPStatus(int(status)).phrase,
            "about": inline(response["description"]),
            "kind": kind,
            "type": self._words(described.get("schema", {})) if kind == "application/json" else "",
            "headers": [
                {"name": name, "about": inline(self._resolved(header)["description"])}
                for name, header in response.get("headers", {}).items()
            ],
            "codes": list(described["examples"]) if problem else [],
            "examples": []
            if problem
            else [{"title": one["summary"], "text": _example(one["value"], kind)} for one in shown],
        }

    def _meaning(self, code: str) -> str:
        summary: str = self._document["components"]["examples"][code]["summary"]
        return summary

    def _resolved(self, fragment: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in fragment:
            return fragment
        found: Any = self._document
        for part in fragment["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)

    def _words(self, schema: dict[str, Any]) -> Markup:
        """Return a value's type in a few words, with links to named types."""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(_SCHEMAS)
            return Markup('<a href="#type-{}">{}</a>').format(name, name)
        if "const" in schema or "enum" in schema:
            values = schema.get("enum", [schema.get("const")])
            return Markup(" | ").join(Markup("<code>{}</code>").format(_literal(value)) for value in values)
        if "anyOf" in schema:
            return Markup(" or ").join(dict.fromkeys(self._words(option) for option in schema["anyOf"]))
        if "prefixItems" in schema:
            return Markup("[{}]").format(Markup(", ").join(self._words(item) for item in schema["prefixItems"]))
        if "items" in schema:
            least, most = schema.get("minItems"), schema.get("maxItems")
            count = "" if most is None else f"{most} " if least == most else f"{least or 0} to {most} "
            return Markup("array of {}{}").format(count, self._words(schema["items"]))
        return Markup("{}").format(schema.get("type", "bytes"))


def _limits(schema: dict[str, Any]) -> list[Markup]:
    """Return the bounds and the default of a value."""
    bounds = {**schema, **next((option for option in schema.get("anyOf", []) if option.get("type") != "null"), {})}
    return [
        Markup("{} <code>{}</code>{}").format(before, _literal(bounds[key]), after)
        for key, before, after in _BOUNDS
        if bounds.get(key) is not None
    ]


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _example(value: Any, kind: str) -> Markup | str:
    """Return the text of an example. An event is shown as its lines in the stream."""
    if kind == "text/event-stream":
        return "".join(f"{name}: {line}\n" for name, line in value.items())
    return json_markup(value)
