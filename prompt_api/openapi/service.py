"""The routes of the service itself."""

from __future__ import annotations

from prompt_api.openapi.operation import Operation, answer, json_answer

TAG = "Service"

_READY = {
    "status": "ready",
    "failing": [],
    "degraded": [],
    "checks": {"cache": "ok", "queue": "ok", "events": "ok", "workers of mobile_sam": "ok"},
}
_WORKERLESS = {
    "status": "ready",
    "failing": [],
    "degraded": ["workers of mobile_sam"],
    "checks": {
        "cache": "ok",
        "queue": "ok",
        "events": "ok",
        "workers of mobile_sam": "no worker is alive: new images wait, and encoded images are answered",
    },
}
_UNREADY = {
    "status": "unready",
    "failing": ["queue"],
    "degraded": [],
    "checks": {
        "cache": "ok",
        "queue": "Redis did not answer in time",
        "events": "ok",
        "workers of mobile_sam": "not known",
    },
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
        description="Answers while the process is alive. It does not check Redis. Restart the process when this fails.",
        answers={200: json_answer("The process is alive.", "Alive", {"Alive": {"status": "ok"}})},
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="getReadiness",
        tag=TAG,
        summary="Can it serve?",
        description="Checks every dependency and names those that fail. Send no requests while this is 503. A model "
        "without a worker is named in `degraded` and makes no 503, because prompts on encoded images need no worker.",
        answers={
            200: json_answer(
                "The service can serve.", "Readiness", {"Ready": _READY, "A model has no worker": _WORKERLESS}
            ),
            503: json_answer("A dependency fails.", "Readiness", {"Redis is away": _UNREADY}),
        },
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="getMetrics",
        tag=TAG,
        summary="Metrics",
        description="Metrics for Prometheus, over all processes and clients of this replica. `Accept` chooses between "
        "the Prometheus text format and OpenMetrics. Values that Redis does not return in time are left out.",
        answers={200: answer("The metrics.", _METRICS)},
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="getDocument",
        tag=TAG,
        summary="This document",
        description="The OpenAPI 3.1 document, with the models and limits of this service.",
        answers={200: answer("The document.", {"application/json": {"schema": {"type": "object"}}}, headers=("ETag",))},
    ),
    Operation(
        method="GET",
        path="/docs",
        name="getDocumentation",
        tag=TAG,
        summary="This page",
        description="This document as a page for people.",
        answers={200: answer("The page.", _PAGE)},
    ),
    Operation(
        method="GET",
        path="/",
        name="getPage",
        tag=TAG,
        summary="Click to segment",
        description="The page that uploads a picture and prompts it. It uses the routes above.",
        answers={200: answer("The page.", _PAGE)},
    ),
)
