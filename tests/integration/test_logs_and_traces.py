"""Follow one request through the real processes, by its id in their logs and by its spans at a collector."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from deploy.local.process import ROOT
from shared.contract.keys import queue_name
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.observe.open_tracer import opened_tracer
from shared.observe.otel import CLOSE_SECONDS
from shared.observe.tracing import SpanKind
from tests.integration.collector import Collector, Received
from tests.support.stack import ObservedStack
from tests.support.waiting import waited
from tests.support.world import png

CLICK = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}
SOON = 60.0
QUEUE = queue_name(FAKE.name, FAKE.weights_digest)
INTERNAL = 1
"""The SpanKind numbers of OTLP."""

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FAST = {"SAM_MODEL": "fake", "SAM_LOG_FORMAT": "json", "OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def stack(collector: Collector) -> Iterator[ObservedStack]:
    with ObservedStack({**FAST, "SAM_OTLP_ENDPOINT": collector.url, "SAM_LOG_LEVEL": "DEBUG"}) as running:
        yield running


def lines(stack: ObservedStack, name: str) -> list[dict[str, Any]]:
    """Return a child's log. Every line must be JSON."""
    return [json.loads(line) for line in stack.log(name)]


def lines_of(stack: ObservedStack, name: str, request_id: str, until: str) -> list[dict[str, Any]]:
    """Return a child's lines about one request, once the message of one contains `until`."""
    deadline = time.monotonic() + SOON
    while True:
        found = [line for line in lines(stack, name) if line.get("request_id") == request_id]
        if any(until in line["message"] for line in found):
            return found
        assert time.monotonic() < deadline, stack.log(name)
        threading.Event().wait(0.05)


def uploaded(stack: ObservedStack, request_id: str, colour: tuple[int, int, int], **headers: str) -> str:
    answer = httpx.post(
        f"{stack.url}/v1/images?wait=20",
        content=png(colour=colour),
        headers={"X-Request-ID": request_id, **headers},
        timeout=SOON,
    )
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, request_id)
    return str(answer.json()["image_id"])


def test_the_id_of_an_upload_is_in_the_lines_of_both_processes(stack: ObservedStack) -> None:
    image_id = uploaded(stack, "upload-1", (1, 2, 3))
    api = lines_of(stack, "api", "upload-1", until=" 200 in ")
    worker = lines_of(stack, "worker 1", "upload-1", until="encoded by")
    assert {line["service"] for line in api} == {"api"}
    assert {line["service"] for line in worker} == {"worker"}
    queued, asked = api[0], api[-1]
    assert queued["job_id"] == worker[0]["job_id"]
    assert (asked["method"], asked["route"], asked["status"]) == ("POST", "/v1/images", 200)
    assert asked["duration_ms"] >= 0
    assert {line["image_id"] for line in (asked, *worker)} == {image_id}
    assert {line["model"] for line in (asked, *worker)} == {"fake"}
    assert worker[0]["message"].endswith(": started")
    stages = [line["stage"] for line in worker if "stage" in line]
    assert stages == ["load", "decode", "resize", "wait", "encode", "store"]
    assert worker[-1]["stages_ms"].keys() == set(stages)


def test_an_upload_that_joins_says_whom(stack: ObservedStack) -> None:
    data = png(200, 150, (9, 8, 7))
    worker = stack.pids("worker")[0]
    subprocess.run(["kill", "-STOP", str(worker)], check=True)
    try:
        for name in ("first", "second"):
            answer = httpx.post(f"{stack.url}/v1/images", content=data, headers={"X-Request-ID": name}, timeout=30)
            assert answer.status_code == 202
    finally:
        subprocess.run(["kill", "-CONT", str(worker)], check=True)
    joined = lines_of(stack, "api", "second", until="joined")[0]
    assert joined["joined_request_id"] == "first"
    assert lines_of(stack, "worker 1", "first", until="encoded by")
    assert not [line for line in lines(stack, "worker 1") if line.get("request_id") == "second"]


def test_what_the_server_refuses_unread_has_an_id_and_a_line_too(stack: ObservedStack) -> None:
    host, port = stack.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=20)) as sock:
        sock.sendall(b"POST /v1/images HTTP/1.1\r\nContent-Length: many\r\n\r\n")
        head = sock.recv(65536).decode().lower().split("\r\n")
    (request_id,) = (line.removeprefix("x-request-id: ") for line in head if line.startswith("x-request-id: "))
    (line,) = lines_of(stack, "api", request_id, until="refused unread")
    assert (line["status"], line["code"]) == (400, "bad-request")


def test_one_trace_holds_the_request_its_job_and_their_stages(stack: ObservedStack, collector: Collector) -> None:
    trace_id, caller = CALLER.split("-")[1:3]
    image_id = uploaded(stack, "traced-1", (4, 5, 6), traceparent=CALLER)

    def of_the_trace(spans: list[Received]) -> dict[str, Received]:
        ours = [span for span in spans if span.trace_id == trace_id]
        # Some stages of the API have the same names as stages of the worker.
        return {span.name: span for span in ours if span.service == "worker" or span.kind != INTERNAL}

    stages = {"load", "decode", "resize", "wait", "encode", "store"}
    names = {"POST /v1/images", f"send {QUEUE}", f"process {QUEUE}", *stages}
    spans = of_the_trace(collector.wait_for(lambda spans: names <= of_the_trace(spans).keys()))
    request, send, process = (spans[name] for name in ("POST /v1/images", f"send {QUEUE}", f"process {QUEUE}"))
    assert spans.keys() == names
    assert [request.parent_id, send.parent_id, process.parent_id] == [caller, request.span_id, send.span_id]
    assert {spans[stage].parent_id for stage in stages} == {process.span_id}
    assert [span.kind for span in (request, send, process)] == [2, 4, 5]  # server, producer, consumer
    assert (request.service, send.service, process.service) == ("api", "api", "worker")
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/v1/images"
    inside = {span.name for span in collector.spans if span.parent_id == request.span_id and span.kind == INTERNAL}
    assert inside == {"parse", "store", "wait"}
    assert process.attributes["sam.image_id"] == image_id
    assert sum(spans[stage].seconds for stage in stages) <= process.seconds
    traced = lines_of(stack, "worker 1", "traced-1", until="encoded by")
    assert {line["trace_id"] for line in traced} == {trace_id}


def test_the_trace_of_a_prompt_has_the_stages_of_its_server_timing(stack: ObservedStack, collector: Collector) -> None:
    image_id = uploaded(stack, "prompt-0", (6, 6, 6))
    before = len(collector.spans)
    answer = httpx.post(f"{stack.url}/v1/images/{image_id}/masks", json=CLICK, timeout=30)
    assert answer.status_code == 200
    route = "POST /v1/images/{image_id}/masks"
    spans = collector.wait_for(lambda spans: any(span.name == route for span in spans[before:]))
    (request,) = [span for span in spans if span.name == route]
    parts = [span for span in spans if span.parent_id == request.span_id]
    assert {span.name for span in parts} == {
        "parse",
        "fetch",
        "prepare",
        "turn",
        "decode",
        "encode",
        "keep",
        "serialise",
    }
    assert sum(span.seconds for span in parts) <= request.seconds


def test_a_trace_that_its_caller_does_not_keep_is_not_sent(stack: ObservedStack, collector: Collector) -> None:
    unsampled = CALLER.replace("0af7", "0bf7")[:-2] + "00"
    uploaded(stack, "unsampled", (3, 3, 9), traceparent=unsampled)
    uploaded(stack, "sampled", (3, 3, 8), traceparent=CALLER.replace("0af7", "0cf7"))
    spans = collector.wait_for(lambda spans: any(span.trace_id.startswith("0cf7") for span in spans))
    assert not [span for span in spans if span.trace_id.startswith("0bf7")]


@pytest.fixture
def hanging() -> Iterator[str]:
    """A collector that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_collector_that_hangs_costs_no_request_and_no_stop(hanging: str) -> None:
    """The queue of spans is tiny, so that it is full at once; requests go on, and the processes end by themselves.

    A request or a stop that waited for the collector would wait for an hour.
    """
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
    forever = {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600", "OTEL_BSP_EXPORT_TIMEOUT": "3600000"}
    stack = ObservedStack({**FAST, **small, **forever, "SAM_OTLP_ENDPOINT": hanging})
    with stack, httpx.Client(base_url=stack.url, timeout=SOON) as http:
        image_id = uploaded(stack, "away", (2, 2, 2))
        for _ in range(50):
            assert http.post(f"/v1/images/{image_id}/masks", json=CLICK).status_code == 200
        children = stack.children
    assert {children[name].exit_code for name in ("api", "worker 1")} == {0}  # nobody had to kill them


def test_a_collector_that_is_away_costs_whoever_traces_nothing() -> None:
    with opened_tracer(Settings(otlp_endpoint="http://127.0.0.1:9"), "api") as tracer:
        before = waited()
        for _ in range(5_000):  # more than the queue takes
            with tracer.begin("request", SpanKind.SERVER) as span:
                span.record("stage", 0.001)
        assert waited() - before < SOON  # each of twenty batches is tried again for ten seconds
        before = waited()
    assert waited() - before < CLOSE_SECONDS + 5.0


def test_nothing_that_traces_is_imported_unless_it_is_asked_for() -> None:
    """redis-py imports OpenTelemetry's metrics if they are installed. Only our own code imports the tracing modules."""
    code = (
        "import sys, prompt_api.__main__, encoder_worker.__main__\n"
        "from shared.contract.settings import Settings\n"
        "from shared.observe.open_tracer import opened_tracer\n"
        "from shared.observe.tracing import NO_TRACER\n"
        "with opened_tracer(Settings(), 'api') as tracer:\n"
        "    assert tracer is NO_TRACER\n"
        "assert not {'shared.observe.otel', 'opentelemetry.sdk.trace', 'opentelemetry.exporter'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("endpoint", "prelude", "says"),
    [
        ("http://127.0.0.1:9", "sys.modules['opentelemetry'] = None", ".[tracing]"),
        ("collector:4318", "", "SAM_OTLP_ENDPOINT must be the URL"),
        ("http://collector:port", "", "SAM_OTLP_ENDPOINT must be the URL"),
    ],
)
def test_without_the_extra_or_with_a_wrong_endpoint_it_does_not_start_and_says_why(
    endpoint: str, prelude: str, says: str
) -> None:
    code = (
        f"import sys\n{prelude}\n"
        "from shared.contract.errors import ConfigurationError\n"
        "from shared.contract.settings import Settings\n"
        "from shared.observe.open_tracer import opened_tracer\n"
        "try:\n"
        f"    with opened_tracer(Settings(otlp_endpoint={endpoint!r}), 'api'): pass\n"
        "except ConfigurationError as error:\n"
        "    print(error.detail)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert says in ran.stdout
