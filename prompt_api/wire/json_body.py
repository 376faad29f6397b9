"""Parses the JSON body of a request into one of the contract's types, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.contract.errors import InvalidPrompt

_SHOWN = 100
"""Most characters of an unknown member's name that an error message repeats."""

M = TypeVar("M", bound=BaseModel)


def parse_json(kind: type[M], body: bytes, *, max_values: int, max_containers: int) -> M:
    """Parse the JSON in `body` into a `kind`.

    Parsing JSON that consists of tiny values takes 50 bytes of memory per byte of text, also for members that `kind`
    ignores. So values are counted before parsing: any two of them have a comma or a bracket between them. Strings
    such as tokens and base64 contain few of these characters.

    Args:
        max_values: most values; they are counted by their commas.
        max_containers: most arrays and objects; each takes up to 160 bytes.

    Raises:
        InvalidPrompt: there are too many values, the JSON is malformed, or `kind` refuses it. `extra["errors"]` says
            where.
    """
    if body.count(b",") > max_values or body.count(b"[") + body.count(b"{") > max_containers:
        raise InvalidPrompt(f"the JSON has more than {max_values} values, or {max_containers} arrays and objects")
    with refused_as_invalid_prompt():
        return kind.model_validate_json(body)


@contextmanager
def refused_as_invalid_prompt() -> Iterator[None]:
    """Turn a `ValidationError` of pydantic inside the block into `InvalidPrompt`."""
    try:
        yield
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> InvalidPrompt:
    """Return an `InvalidPrompt` whose detail is the first problem. `extra["errors"]` lists up to ten."""
    problems = [
        {
            "at": "/".join(str(part)[:_SHOWN] for part in item["loc"]),
            "problem": item["msg"].removeprefix("Value error, "),
        }
        for item in error.errors(include_url=False, include_context=False, include_input=False)[:10]
    ]
    first = problems[0]
    detail = f"{first['at']}: {first['problem']}" if first["at"] else first["problem"]
    return InvalidPrompt(detail, errors=problems)
