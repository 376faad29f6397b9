"""Every request has an id, a log line and a span, however it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from prompt_api.http.app import create_app
from shared.observe import log_context
from shared.observe.request_id import well_formed
from shared.observe.tracing import NO_SPAN, NO_TRACER, SpanKind, Tracer, carried, current, entered
from tests.support.kept import KeepingTracer, KeptSpan, Lines
from tests.support.world import World, png

NOBODYS = "0" * 64
REQUESTS = "prompt_api.requests"
CLICK = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}


class WholeAnswers(FlaskClient):
    """A client that reads answers to their end, as a real server's client does."""

    def open(self, *args: Any, buffered: bool = True, **options: Any) -> TestResponse:
        return super().open(*args, buffered=buffered, **options)


@pytest.fixture
def world(world: World) -> World:
    return replace(world, client=client_of(world))


def client_of(world: World, tracer: Tracer = NO_TRACER) -> FlaskClient:
    app = create_app(world.services, tracer)
    app.test_client_class = WholeAnswers
    return app.test_client()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    handler = Lines()
    caplog.set_level(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/static/style.css", 200),
        ("GET", f"/v1/images/{NOBODYS}", 404),
        ("HEAD", f"/v1/images/{NOBODYS}", 404),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/images", 405),
        ("POST", "/v1/images", 411),
        ("OPTIONS", "/v1/images", 200),
    ],
)
def test_every_answer_says_the_id_that_the_request_had(world: World, method: str, path: str, status: int) -> None:
    with world.client.open(path, method=method, headers={"X-Request-ID": "probe.1"}) as answer:
        assert answer.status_code == status
        assert answer.headers.getlist("X-Request-ID") == ["probe.1"]
    with world.client.open(path, method=method) as answer:
        assert well_formed(answer.headers["X-Request-ID"])


def test_an_ill_formed_id_is_not_repeated(world: World) -> None:
    answer = world.client.get("/v1/models", headers={"X-Request-ID": "two words"})
    assert well_formed(answer.headers["X-Request-ID"])


def test_a_bug_is_answered_with_the_id_under_which_it_is_in_the_log(
    world: World, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(world.store, "get", broken)
    answer = world.client.get(f"/v1/images/{NOBODYS}", headers={"X-Request-ID": "probe"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "probe")
    (unhandled,) = [line for line in lines.seen if line["text"] == "unhandled error"]
    assert unhandled["request_id"] == "probe"
    assert lines.of(REQUESTS)[0]["code"] == "internal-error"


def test_a_request_is_one_line_that_says_what_it_was_about(world: World, lines: Lines) -> None:
    image_id = world.ready_image(png())
    world.client.post(f"/v1/images/{image_id}/masks?model=fake", json=CLICK, headers={"X-Request-ID": "probe"})
    upload, prompt = lines.of(REQUESTS)
    assert (upload["method"], upload["route"], upload["status"]) == ("POST", "/v1/images", 202)
    assert upload["image_id"] == prompt["image_id"] == image_id
    assert upload["model"] == prompt["model"] == "fake"
    assert prompt["text"].startswith("POST /v1/images/{image_id}/masks 200 in ")
    assert prompt["request_id"] == "probe"
    assert prompt["duration_ms"] >= 0
    assert "path" not in prompt


def test_a_refusal_is_logged_with_its_code(world: World, lines: Lines) -> None:
    world.client.get(f"/v1/images/{NOBODYS}?model=nope")
    assert (lines.of(REQUESTS)[0]["status"], lines.of(REQUESTS)[0]["code"]) == (404, "model-not-found")


def test_where_there_is_no_route_the_path_is_logged_without_its_query_and_cut(world: World, lines: Lines) -> None:
    world.client.get("/admin.php?token=secret")
    world.client.get("/" + "x" * 5000)
    assert lines.of(REQUESTS)[0]["path"] == "/admin.php"
    assert not any("secret" in str(line) for line in lines.of(REQUESTS))
    assert len(lines.of(REQUESTS)[1]["path"]) == 256


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/label-studio/health"])
def test_what_is_asked_every_second_is_logged_at_debug(world: World, lines: Lines, path: str) -> None:
    world.client.get(path)
    world.client.get("/v1/models")
    assert [line["levelname"] for line in lines.of(REQUESTS)] == ["DEBUG", "INFO"]


def test_a_stream_is_logged_when_it_ends_and_its_lines_have_its_id(world: World, lines: Lines) -> None:
    image_id = world.ready_image(png())
    answer = world.client.get(f"/v1/images/{image_id}/events", headers={"X-Request-ID": "probe"}, buffered=False)
    assert answer.headers["X-Request-ID"] == "probe"
    assert len(lines.of(REQUESTS)) == 1  # the upload's
    assert "ready" in answer.text
    answer.close()
    assert lines.of(REQUESTS)[-1]["request_id"] == "probe"
    assert not log_context.fields()


def test_lines_of_the_request_after_belong_to_that_one(world: World, lines: Lines) -> None:
    for name in ("one", "two"):
        world.client.get(f"/v1/images/{NOBODYS}", headers={"X-Request-ID": name})
    assert [line["request_id"] for line in lines.of(REQUESTS)] == ["one", "two"]
    assert not log_context.fields()


def test_the_span_of_a_prompt_has_its_stages_and_goes_on_with_the_callers_trace(world: World) -> None:
    image_id, tracer = world.ready_image(png()), KeepingTracer()
    client = client_of(world, tracer)
    answer = client.post(f"/v1/images/{image_id}/masks", json=CLICK, headers={"Traceparent": "the caller's"})
    assert answer.status_code == 200
    (span,) = tracer.spans
    assert (span.kind, span.parent, span.ended, span.failed) == (SpanKind.SERVER, "the caller's", 1, None)
    assert span.name == "POST /v1/images/{image_id}/masks"
    expected = {
        "http.request.method": "POST",
        "http.route": "/v1/images/{image_id}/masks",
        "http.response.status_code": 200,
        "url.path": f"/v1/images/{image_id}/masks",
        "url.scheme": "http",
        "sam.image_id": image_id,
        "sam.model": "fake",
        "sam.request_id": answer.headers["X-Request-ID"],
    }
    assert span.attributes == expected
    assert span.parts == [
        "parse",
        "fetch",
        "prepare",
        "turn",
        "decode",
        "decode",
        "encode",
        "keep",
        "serialise",
    ]
    assert current() is NO_SPAN


def test_the_span_of_a_bug_failed_and_that_of_a_refusal_did_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = KeepingTracer()
    client = client_of(world, tracer)
    client.get(f"/v1/images/{NOBODYS}")

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(world.store, "get", broken)
    client.get(f"/v1/images/{NOBODYS}")
    refused, bug = tracer.spans
    assert (refused.failed, refused.attributes["sam.code"]) == (None, "image-not-found")
    assert (bug.failed, bug.attributes["error.type"]) == ("internal-error", "internal-error")


def test_lines_carry_the_trace_when_there_is_one(world: World, lines: Lines) -> None:
    client_of(world, KeepingTracer()).get("/v1/models")
    world.client.get("/v1/models")
    traced, untraced = lines.of(REQUESTS)
    assert traced["trace_id"] == KeptSpan.trace_id
    assert "trace_id" not in untraced


def test_what_another_thread_does_for_a_request_belongs_to_it() -> None:
    span = KeptSpan("request", SpanKind.SERVER, "", {})
    with log_context.scope(request_id="probe"), entered(span):
        asked = carried(lambda: (log_context.fields().get("request_id"), current()))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asked).result() == ("probe", span)
    assert current() is NO_SPAN
