"""Sends answers from the memory in which they count against the budget of answers under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, request
from werkzeug.wsgi import wrap_file

from prompt_api.http.answer_budget import SMALL, AnswerBudget, HeldAnswer
from prompt_api.http.layer import Layer
from prompt_api.http.problem_answers import from_error
from shared.contract.errors import Overloaded


@contextmanager
def begun(budget: AnswerBudget) -> Iterator[HeldAnswer]:
    """Give the block an empty answer to write, and to make a response of. If the block raises, it is closed."""
    held = budget.empty()
    try:
        yield held
    except BaseException:
        held.close()
        raise


def response(answer: HeldAnswer, content_type: str) -> Response:
    """Return a response that sends `answer` and then closes it."""
    size = answer.tell()
    if size <= SMALL:
        with answer:
            return Response(answer.getvalue(), content_type=content_type)
    sent = Response(content_type=content_type)
    _send(sent, answer, size)
    return sent


def layer(budget: AnswerBudget) -> Layer:
    """Return the layer that counts every large answer of the routes, or refuses it if there is no room."""

    def hold(answer: Response) -> Response:
        parts = answer.response
        if not isinstance(parts, (list, tuple)):  # it is a file or a stream, or counts already
            return answer
        size = sum(map(len, parts))
        if size <= SMALL:
            return answer
        try:
            held = budget.holding(answer.get_data())
        except Overloaded as error:
            return from_error(error)
        _send(answer, held, size)
        return answer

    return Layer(leave=hold)


def _send(response: Response, answer: HeldAnswer, size: int) -> None:
    answer.seek(0)
    response.response = wrap_file(request.environ, answer)
    response.direct_passthrough = True
    response.content_length = size
