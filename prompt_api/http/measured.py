"""Measures every request to the Flask application: its status, its duration and the time of each stage."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flask import Response, g, request

from prompt_api.http.layer import Layer
from prompt_api.http.methods import KNOWN_METHODS
from prompt_api.http.route_template import template_of
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.wire.problems import MEDIA_TYPE
from shared.observe.stages import Stages

ARRIVAL = "sam.arrival"
"""Key of the WSGI environment: the times of the request's first and last byte, from `time.perf_counter`."""

OTHER = "other"
"""The label for an unknown route or method, so that no client can invent labels."""


@dataclass(slots=True)
class _Measured:
    """The measurements of the current request.

    Attributes:
        arrived: when its last byte arrived, from `time.perf_counter`.
        timings: the seconds of each stage.
        staged: true if the route records its stages, which are then counted.
        status: of the answer.
        code: error code of the answer; empty if it is not a problem document.
    """

    arrived: float
    timings: Stages = field(default_factory=Stages)
    staged: bool = False
    status: int = 500
    code: str = ""


def layer(metrics: ApiMetrics) -> Layer:
    """Return the layer that measures every request and counts it in `metrics`."""

    def begin() -> None:
        now = time.perf_counter()
        first, last = request.environ.get(ARRIVAL, (now, now))
        g.measured = measured = _Measured(last)
        measured.timings.add("receive", last - first)
        measured.timings.add("thread", now - last)
        metrics.in_flight.inc()

    def answered(answer: Response) -> Response:
        measured: _Measured = g.measured
        measured.status = answer.status_code
        if answer.mimetype == MEDIA_TYPE:
            measured.code = answer.get_json()["code"]
        return answer

    def end(_error: BaseException | None) -> None:
        measured: _Measured | None = g.pop("measured", None)
        if measured is None:  # `begin` did not run in this context
            return
        metrics.in_flight.dec()
        seconds = time.perf_counter() - measured.arrived
        route = OTHER if request.url_rule is None else template_of(request.url_rule.rule)
        method = request.method if request.method in KNOWN_METHODS else OTHER
        metrics.answered(route, method, measured.status, measured.code)
        metrics.took(route, method, seconds)
        if measured.staged:
            stages = dict(measured.timings.seconds)
            stages["other"] = max(0.0, seconds + stages["receive"] - sum(stages.values()))
            metrics.spent(route, stages)

    return Layer(enter=begin, leave=answered, end=end)


def admitted_layer() -> Layer:
    """Return the layer that ends the stage `admit`, in which the outer layers decide whether to let the request in."""

    def admitted() -> None:
        measured: _Measured = g.measured
        measured.timings.add("admit", time.perf_counter() - measured.arrived - measured.timings.seconds["thread"])

    return Layer(enter=admitted)


def timings() -> Stages:
    """Return the timings of the current request, and have its stages counted."""
    measured: _Measured = g.measured
    measured.staged = True
    return measured.timings
