"""The routes about the service itself."""

from __future__ import annotations

from prompt_api.openapi.operation import Operation, answer, json_answer

TAG = "Service"

_READY = {"status": "ready", "failing": [], "checks": {"cache": "ok", "queue": "ok"}}
_UNREADY = {
    "status": "unready",
    "failing": ["queue"],
    "checks": {"cache": "ok", "queue": "Redis did not answer in time"},
}
_METRICS = {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")}
_PAGE = {"text/html": {"schema": {"type": "string"}}}

OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        name="getHealth",
        tag=TAG,
        summary="Is it alive?",
        description="The process answers. It says nothing of what it depends on: restart it when this fails.",
        answers={200: json_answer("It is.", "Alive", {"Alive": {"status": "ok"}})},
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="getReadiness",
        tag=TAG,
        summary="Can it serve?",
        description="Asks every dependency and names those that fail: send no requests while this is 503.",
        answers={
            200: json_answer("It can.", "Readiness", {"Ready": _READY}),
            503: json_answer("Something fails.", "Readiness", {"Redis is away": _UNREADY}),
        },
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="getMetrics",
        tag=TAG,
        summary="What has been counted",
        description="For Prometheus, over all processes of this replica and all its clients; `Accept` decides between "
        "its own format and OpenMetrics. What Redis does not answer in time is left out.",
        answers={200: answer("The metrics.", _METRICS)},
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="getDocument",
        tag=TAG,
        summary="This document",
        description="OpenAPI 3.1, made for the models and limits of this very service.",
        answers={200: answer("The document.", {"application/json": {"schema": {"type": "object"}}}, headers=("ETag",))},
    ),
    Operation(
        method="GET",
        path="/docs",
        name="getDocumentation",
        tag=TAG,
        summary="This page",
        description="The document for people.",
        answers={200: answer("The page.", _PAGE)},
    ),
    Operation(
        method="GET",
        path="/",
        name="getPage",
        tag=TAG,
        summary="Click to segment",
        description="The page that uploads a picture and prompts it, made of the routes above.",
        answers={200: answer("The page.", _PAGE)},
    ),
)
