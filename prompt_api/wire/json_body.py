"""The JSON of a request's body as one of the contract's types, read in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.contract.errors import InvalidPrompt

_SHOWN = 100
"""Characters of a name that the client made up, when a refusal repeats it."""

M = TypeVar("M", bound=BaseModel)


def parse_json(kind: type[M], body: bytes, *, max_values: int, max_containers: int) -> M:
    """The JSON in `body` as a `kind`.

    Reading JSON of nothing but tiny values takes 50 bytes of memory for one of text, members that `kind` ignores
    included, so they are counted first: a comma stands between any two, unless a bracket does. What the JSON says in
    strings (tokens, base64) has few of either.

    Args:
        max_containers: most arrays and objects; each takes up to 160 bytes.

    Raises:
        InvalidPrompt: too many values, malformed JSON, or anything `kind` refuses; `extra["errors"]` says where.
    """
    if body.count(b",") > max_values or body.count(b"[") + body.count(b"{") > max_containers:
        raise InvalidPrompt(f"the JSON has more than {max_values} values, or {max_containers} arrays and objects")
    with refused_as_invalid_prompt():
        return kind.model_validate_json(body)


@contextmanager
def refused_as_invalid_prompt() -> Iterator[None]:
    """Turn what pydantic finds wrong inside the block into `InvalidPrompt`."""
    try:
        yield
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> InvalidPrompt:
    """What pydantic found, as an error of this service: the first problem in words, ten in `extra["errors"]`."""
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
