"""Measures every request to the Flask application: how it was answered, how long it took, and what on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flask import Flask, Response, g, request

from prompt_api.metrics.counting import ApiMetrics
from prompt_api.problems import MEDIA_TYPE
from prompt_api.routes.template import template_of
from shared.stages import Stages

ARRIVAL = "sam.arrival"
"""Key of the WSGI environment: when the request's first and its last byte came, as `time.perf_counter` counts."""

OTHER = "other"
"""Route of what is no route, and method of what is no usual method: nobody may invent labels."""

_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})


@dataclass(slots=True)
class _Measured:
    """The present request.

    Attributes:
        arrived: when its last byte had come.
        staged: its route says what the time was spent on.
    """

    arrived: float
    timings: Stages = field(default_factory=Stages)
    staged: bool = False
    status: int = 500
    code: str = ""


def register(app: Flask, metrics: ApiMetrics) -> None:
    """Measure every request to `app`. To be registered before all else that looks at requests, see also `admitted`."""

    @app.before_request
    def begin() -> None:
        now = time.perf_counter()
        first, last = request.environ.get(ARRIVAL, (now, now))
        g.measured = measured = _Measured(last)
        measured.timings.add("receive", last - first)
        measured.timings.add("thread", now - last)
        metrics.in_flight.inc()

    @app.after_request
    def answered(answer: Response) -> Response:
        measured: _Measured = g.measured
        measured.status = answer.status_code
        if answer.mimetype == MEDIA_TYPE:
            measured.code = answer.get_json()["code"]
        return answer

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        measured: _Measured | None = g.pop("measured", None)
        if measured is None:  # a context that no request began
            return
        metrics.in_flight.dec()
        seconds = time.perf_counter() - measured.arrived
        route = OTHER if request.url_rule is None else template_of(request.url_rule.rule)
        method = request.method if request.method in _METHODS else OTHER
        metrics.answered(route, method, measured.status, measured.code)
        metrics.took(route, method, seconds)
        if measured.staged:
            stages = dict(measured.timings.seconds)
            stages["other"] = max(0.0, seconds + stages["receive"] - sum(stages.values()))
            metrics.spent(route, stages)


def admitted() -> None:
    """The gate let the present request through: what it took so far is its stage. To be registered after the gate."""
    measured: _Measured = g.measured
    measured.timings.add("admit", time.perf_counter() - measured.arrived - measured.timings.seconds["thread"])


def timings() -> Stages:
    """For the present request, whose stages will be counted."""
    measured: _Measured = g.measured
    measured.staged = True
    return measured.timings
