"""Fetching task images: only from the configured Label Studio, within limits, with either kind of token."""

from __future__ import annotations

import json
import threading

import pytest

from prompt_api.integrations.label_studio import instance as module
from prompt_api.integrations.label_studio.credentials import LegacyToken, NoToken, PersonalAccessToken, credentials
from prompt_api.integrations.label_studio.instance import LabelStudioInstance
from prompt_api.integrations.recent import RecentImages
from shared.contract.errors import ConfigurationError, ImageTooLarge, ImageUnreachable, SamCacheError
from tests.support.label_studio import Answer, studio

IMAGE = b"the bytes of an image"
REFRESH = "eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl"


def at(url: str, token: str = "", max_bytes: int = 1000) -> LabelStudioInstance:
    return LabelStudioInstance(url, credentials(token), max_bytes=max_bytes)


def fetched(url: str, reference: str = "/data/upload/1/a.jpg", token: str = "", max_bytes: int = 1000) -> bytes:
    found = at(url, token, max_bytes)
    return found.fetch(found.target(reference))


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("/data/upload/1/a.jpg", "/data/upload/1/a.jpg"),
        ("/data/local-files/?d=set/my%20cup.jpg", "/data/local-files/?d=set/my%20cup.jpg"),
        ("/data/local-files/?d=set/my cup.jpg", "/data/local-files/?d=set/my%20cup.jpg"),
        ("/data/local-files?d=set/a.jpg", "/data/local-files?d=set/a.jpg"),
        ("/data/upload/1/чашка.jpg", "/data/upload/1/%D1%87%D0%B0%D1%88%D0%BA%D0%B0.jpg"),
        ("https://labels.example/data/upload/1/a.jpg", "/data/upload/1/a.jpg"),
        ("https://labels.example:443/data/upload/1/a.jpg", "/data/upload/1/a.jpg"),
        ("HTTPS://LABELS.example/tasks/7/resolve/?fileuri=czM6", "/tasks/7/resolve/?fileuri=czM6"),
        ("/storage-data/uploaded/?filepath=upload/1/a.jpg", "/storage-data/uploaded/?filepath=upload/1/a.jpg"),
    ],
)
def test_what_is_on_the_instance_may_be_fetched(reference: str, target: str) -> None:
    assert at("https://labels.example").target(reference) == target


@pytest.mark.parametrize("reference", ["/data/upload/1/a.jpg", "/ls/data/upload/1/a.jpg"])
def test_an_instance_may_be_served_under_a_path(reference: str) -> None:
    assert at("https://example.org/ls/").target(reference) == "/ls/data/upload/1/a.jpg"
    assert at("https://example.org/ls").target("https://example.org" + reference) == "/ls/data/upload/1/a.jpg"


@pytest.mark.parametrize(
    "reference",
    [
        "https://elsewhere.example/data/upload/1/a.jpg",
        "http://labels.example/data/upload/1/a.jpg",
        "https://labels.example:8443/data/upload/1/a.jpg",
        "https://labels.example.evil.example/data/upload/1/a.jpg",
        "https://labels.example@evil.example/data/upload/1/a.jpg",
        "https://user:password@labels.example/data/upload/1/a.jpg",
        "//elsewhere.example/data/upload/1/a.jpg",
        "/\\elsewhere.example/data/upload/1/a.jpg",
        "https:/data/upload/1/a.jpg",
        "file:///data/upload/1/a.jpg",
        "ftp://labels.example/data/upload/1/a.jpg",
        "gopher://labels.example/data/upload/1/a.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/data/upload/1/a.jpg",
        "http://[::1/data/upload/1/a.jpg",
        "s3://bucket/a.jpg",
        "/api/projects/1/export",
        "/user/logout/",
        "/data/upload/../../api/current-user/token",
        "/data/upload/%2e%2e/%2E%2E/api/current-user/token",
        "/data/upload/1/..%5c..%5capi",
        "/data/uploads.jpg",
        "/data/local-files-of-others?d=a.jpg",
        "/tasks/x/resolve/",
        "data/upload/1/a.jpg",
        "/data/upload/1/a.jpg\r\nX-Injected: 1",
        "\t/data/upload/1/a.jpg",
        "",
    ],
)
def test_what_is_elsewhere_is_refused_without_a_request(reference: str) -> None:
    with pytest.raises(ImageUnreachable):
        at("https://labels.example").target(reference)


@pytest.mark.parametrize(
    "url",
    ["labels.example", "ftp://labels.example", "https://", "https://u:p@labels.example", "https://a?b", "http://a:x"],
)
def test_a_setting_that_is_no_address_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SAM_LABEL_STUDIO_URL"):
        at(url)


@pytest.mark.parametrize(("token", "header"), [("", None), ("0123abcd", "Token 0123abcd")])
def test_the_legacy_token_is_sent_as_it_is(token: str, header: str | None) -> None:
    with studio(lambda *_: (200, {}, IMAGE)) as (url, asked):
        assert fetched(url, token=token) == IMAGE
    assert asked == [("GET", "/data/upload/1/a.jpg", header)]


def test_a_personal_access_token_is_changed_for_access_tokens_when_they_expire() -> None:
    valid = iter(["first", "second"])
    current = "none"

    def answer(method: str, path: str, header: str | None) -> Answer:
        nonlocal current
        if path == "/api/token/refresh/":
            current = next(valid)
            return 200, {}, json.dumps({"access": current}).encode()
        return (200, {}, IMAGE) if header == f"Bearer {current}" else (401, {}, b"")

    with studio(answer) as (url, asked):
        found = at(url, REFRESH)
        assert [found.fetch("/data/upload/1/a.jpg") for _ in range(2)] == [IMAGE, IMAGE]
        current = "expired"
        assert found.fetch("/data/upload/1/a.jpg") == IMAGE
    assert [path for _, path, _ in asked].count("/api/token/refresh/") == 2
    assert REFRESH not in str(asked)


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"nonsense", b'{"access": "a b"}'])
def test_a_personal_access_token_that_buys_nothing_is_refused(answer: bytes) -> None:
    with studio(lambda *_: (200, {}, answer)) as (url, _), pytest.raises(ImageUnreachable, match="access token"):
        fetched(url, token=REFRESH)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "does not show"), (403, "does not show"), (404, "no such image"), (500, "status 500")]
)
def test_what_label_studio_refuses_is_said(status: int, words: str) -> None:
    with studio(lambda *_: (status, {}, b"")) as (url, _), pytest.raises(ImageUnreachable, match=words):
        fetched(url)


def test_redirects_within_the_instance_are_followed() -> None:
    def answer(_method: str, path: str, _header: str | None) -> Answer:
        return (200, {}, IMAGE) if path == "/data/upload/1/b.jpg" else (302, {"Location": "b.jpg"}, b"")

    with studio(answer) as (url, asked):
        assert fetched(url, token="legacy") == IMAGE
    assert [header for _, _, header in asked] == ["Token legacy"] * 2


@pytest.mark.parametrize("location", ["http://127.0.0.1:9/data/upload/1/a.jpg", "/user/login/?next=/", "file:///x"])
def test_redirects_elsewhere_are_refused(location: str) -> None:
    with studio(lambda *_: (302, {"Location": location}, b"")) as (url, asked), pytest.raises(ImageUnreachable):
        fetched(url)
    assert len(asked) == 1


def test_redirects_in_a_circle_end() -> None:
    with studio(lambda *_: (302, {"Location": "/data/upload/1/a.jpg"}, b"")) as (url, asked):
        with pytest.raises(ImageUnreachable, match="status 302"):
            fetched(url)
        assert len(asked) == 1 + module.MAX_REDIRECTS


def test_an_image_is_bounded_whatever_length_is_declared() -> None:
    with studio(lambda *_: (200, {}, bytes(1001))) as (url, _), pytest.raises(ImageTooLarge):
        fetched(url)
    with studio(lambda *_: (200, {}, bytes(1000))) as (url, _):
        assert fetched(url) == bytes(1000)


@pytest.mark.parametrize(
    ("headers", "words"),
    [({"Content-Length": "900"}, "stopped in the middle"), ({"Content-Encoding": "gzip"}, "compressed")],
)
def test_an_answer_that_is_not_what_was_asked_for_is_refused(headers: dict[str, str], words: str) -> None:
    def answer(*_: object) -> Answer:
        return 200, {"Connection": "close", **headers}, IMAGE

    with studio(answer) as (url, _), pytest.raises(ImageUnreachable, match=words):
        fetched(url)


def test_a_silent_instance_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    silence = threading.Event()

    def answer(*_: object) -> Answer:
        silence.wait(60)
        return 200, {}, IMAGE

    with studio(answer) as (url, _):
        with pytest.raises(ImageUnreachable, match="in time"):
            fetched(url)
        silence.set()


def test_a_trickle_costs_a_bounded_time() -> None:
    ticks = iter(range(0, 10_000, 10))
    with studio(lambda *_: (200, {}, IMAGE)) as (url, _):
        found = LabelStudioInstance(url, NoToken(), max_bytes=1000, clock=lambda: float(next(ticks)))
        with pytest.raises(ImageUnreachable, match="in time"):
            found.fetch("/data/upload/1/a.jpg")


def test_an_instance_that_is_away_is_said_to_be() -> None:
    with pytest.raises(ImageUnreachable, match="cannot be reached"):
        fetched("http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("token", "kind"), [("", NoToken), ("0123456789abcdef", LegacyToken), (REFRESH, PersonalAccessToken)]
)
def test_the_kind_of_a_token_is_seen_from_its_form(token: str, kind: type) -> None:
    assert isinstance(credentials(token), kind)


def test_errors_do_not_repeat_the_token() -> None:
    with studio(lambda *_: (403, {}, b"")) as (url, _):
        for token in ("legacy-secret", REFRESH):
            with pytest.raises(SamCacheError) as caught:
                fetched(url, token=token)
            assert token not in str(caught.value)


def test_images_are_remembered_for_a_time_and_the_oldest_go_first() -> None:
    now = 0.0
    recent = RecentImages(capacity=2, ttl=10, clock=lambda: now)
    for name in ("a", "b", "c"):
        recent.put(name, f"id of {name}")
    assert [recent.get(name) for name in ("a", "b", "c")] == [None, "id of b", "id of c"]
    now = 9.0
    recent.put("b", "id of b")
    now = 11.0
    assert [recent.get(name) for name in ("b", "c")] == ["id of b", None]


def test_a_redirect_to_what_is_no_url_is_refused() -> None:
    with (
        studio(lambda *_: (302, {"Location": "http://[::1/a"}, b"")) as (url, _),
        pytest.raises(ImageUnreachable, match="not a URL"),
    ):
        fetched(url)
