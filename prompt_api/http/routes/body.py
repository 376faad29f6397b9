"""Reads the body of a request, up to a limit."""

from __future__ import annotations

from flask import request

from prompt_api.wire.limits import MAX_PROMPT_BODY
from shared.contract.errors import InvalidPrompt, RequestTooLarge


def read_body(most: int) -> bytes:
    """Return the whole body.

    Raises:
        RequestTooLarge: it has more than `most` bytes, declared or found while reading.
    """
    if request.content_length is not None and request.content_length > most:
        raise _too_large(most)
    body = request.stream.read(most + 1)
    if len(body) > most:
        raise _too_large(most)
    return body


def read_prompt_body(example: str) -> bytes:
    """Return the whole body of a request with prompts.

    Args:
        example: what an empty body should have been.

    Raises:
        InvalidPrompt: it is empty.
        RequestTooLarge: it is too long.
    """
    body = read_body(MAX_PROMPT_BODY)
    if not body:
        raise InvalidPrompt(f"the body is empty; send {example}")
    return body


def _too_large(most: int) -> RequestTooLarge:
    return RequestTooLarge(f"a prompt request has at most {most} bytes", max_bytes=most)
