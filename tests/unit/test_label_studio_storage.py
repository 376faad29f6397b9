"""Images in cloud storage, by way of Label Studio; and Label Studio under several names."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from urllib.parse import parse_qs, urlsplit

import pytest

from prompt_api.integrations.label_studio import instance as module
from prompt_api.integrations.label_studio.addresses import is_allowed
from prompt_api.integrations.label_studio.cloud_storage import reachable
from prompt_api.integrations.label_studio.credentials import credentials
from prompt_api.integrations.label_studio.instance import LabelStudioInstance
from shared.contract.errors import ConfigurationError, ImageTooLarge, ImageUnreachable
from tests.support.label_studio import Answer, studio

IMAGE = b"the bytes of an image"
SIGNED = "/bucket/my%20cup.jpg?X-Amz-Credential=a%2Fb&X-Amz-Signature=0f"
PATH = "/tasks/7/presign/?fileuri=czM6"


def fetched(url: str, reference: str = PATH, *, max_bytes: int = 1000, aliases: tuple[str, ...] = ()) -> bytes:
    instance = LabelStudioInstance(url, credentials("secret"), max_bytes=max_bytes, aliases=aliases)
    return instance.fetch(instance.target(reference))


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a.png",
        "gs://bucket/my cup.png",
        "azure-blob://box/чашка.png",
        "S3://bucket/a%20b.png?x=1&y",
        "s3://bucket/ab\ncd",
    ],
)
def test_a_file_in_cloud_storage_is_asked_for_at_label_studio(uri: str) -> None:
    asked = urlsplit(reachable(uri, 7))
    assert asked.path == "/tasks/7/presign/"
    assert urlsafe_b64decode(parse_qs(asked.query)["fileuri"][0]).decode() == uri
    target = LabelStudioInstance("https://labels.example/ls", credentials(""), max_bytes=1).target(reachable(uri, "7"))
    assert target.startswith("/ls/tasks/7/presign/?fileuri=")


@pytest.mark.parametrize(
    ("reference", "task"),
    [
        ("/data/upload/1/a.png", 7),
        ("https://labels.example/data/upload/1/a.png", 7),
        ("data:image/png;base64,AA", 7),
        ("s3://bucket/a.png", None),
        ("s3://bucket/a.png", "../../api"),
        ("s3:bucket", 7),
    ],
)
def test_other_references_stay_as_they_are(reference: str, task: int | str | None) -> None:
    assert reachable(reference, task) == reference


@pytest.mark.parametrize("path", [PATH, "/tasks/7/resolve/?fileuri=czM6", "/projects/1/resolve/?fileuri=czM6"])
def test_the_redirect_to_the_storage_is_followed_without_the_token(path: str) -> None:
    with studio(lambda *_: (200, {}, IMAGE)) as (bucket, at_bucket):
        location = {"Location": bucket + SIGNED}
        with studio(lambda *_: (303, location, b"")) as (url, at_studio):
            assert fetched(url, path) == IMAGE
    assert at_studio == [("GET", path, "Token secret")]
    assert at_bucket == [("GET", SIGNED, None)]


def test_an_image_that_label_studio_passes_on_itself_needs_no_redirect() -> None:
    with studio(lambda *_: (200, {}, IMAGE)) as (url, _):
        assert fetched(url) == IMAGE


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((302, {"Location": "/elsewhere"}, b""), "storage of the image answers with status 302"),
        ((403, {}, b""), "storage of the image answers with status 403"),
        ((200, {"Content-Length": "900", "Connection": "close"}, IMAGE), "storage of the image stopped in the middle"),
        ((200, {"Content-Encoding": "gzip"}, IMAGE), "compressed"),
    ],
)
def test_a_storage_is_asked_once_and_its_refusals_are_said(answer: Answer, words: str) -> None:
    with studio(lambda *_: answer) as (bucket, asked):
        location = {"Location": bucket + SIGNED}
        with studio(lambda *_: (303, location, b"")) as (url, _), pytest.raises(ImageUnreachable, match=words):
            fetched(url)
    assert len(asked) == 1


def test_an_image_in_a_storage_is_bounded_too() -> None:
    with studio(lambda *_: (200, {}, bytes(1001))) as (bucket, _):
        location = {"Location": bucket + SIGNED}
        with studio(lambda *_: (303, location, b"")) as (url, _), pytest.raises(ImageTooLarge):
            fetched(url)


def test_a_file_on_label_studio_itself_leads_to_no_storage() -> None:
    with studio(lambda *_: (200, {}, IMAGE)) as (bucket, asked):
        location = {"Location": bucket + SIGNED}
        with studio(lambda *_: (302, location, b"")) as (url, _), pytest.raises(ImageUnreachable):
            fetched(url, "/data/upload/1/a.jpg")
    assert asked == []


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://u:p@127.0.0.1:9/a", "http://[::1/a", "http://127.0.0.1:9/\\a"],
)
def test_what_is_no_address_of_a_storage_is_refused(location: str) -> None:
    with studio(lambda *_: (303, {"Location": location}, b"")) as (url, _), pytest.raises(ImageUnreachable):
        fetched(url)


def test_a_storage_at_an_address_that_is_not_allowed_gets_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with studio(lambda *_: (200, {}, IMAGE)) as (bucket, asked):
        location = {"Location": bucket + SIGNED}
        with studio(lambda *_: (303, location, b"")) as (url, _):
            monkeypatch.setattr(module, "_addresses", lambda _: ["8.8.8.8"])
            with pytest.raises(ImageUnreachable, match=r"not allowed: 127\.0\.0\.1"):
                fetched(url)
    assert asked == []


def test_a_storage_that_is_away_is_said_to_be() -> None:
    with (
        studio(lambda *_: (303, {"Location": "http://127.0.0.1:9/a"}, b"")) as (url, _),
        pytest.raises(ImageUnreachable, match="storage of the image cannot be reached"),
    ):
        fetched(url)


PUBLIC, PRIVATE, LOOPBACK = "8.8.8.8", "10.0.0.7", "127.0.0.1"


@pytest.mark.parametrize(
    ("storage", "allowed_for"),
    [
        ("52.216.1.1", {PUBLIC, PRIVATE, LOOPBACK}),
        ("2600:1fa0::1", {PUBLIC, PRIVATE, LOOPBACK}),
        ("::ffff:52.216.1.1", {PUBLIC, PRIVATE, LOOPBACK}),
        ("192.168.1.5", {PRIVATE, LOOPBACK}),
        ("100.64.0.1", {PRIVATE, LOOPBACK}),
        ("fd00::1", {PRIVATE, LOOPBACK}),
        ("127.0.0.1", {LOOPBACK}),
        ("::1", {LOOPBACK}),
        ("::ffff:127.0.0.1", {LOOPBACK}),
        ("169.254.169.254", set()),
        ("::ffff:169.254.169.254", set()),
        ("64:ff9b::a9fe:a9fe", set()),
        ("fd00:ec2::254", set()),
        ("100.100.100.200", set()),
        ("168.63.129.16", set()),
        ("fe80::1%eth0", set()),
        ("0.0.0.0", set()),
        ("::", set()),
        ("224.0.0.1", set()),
        ("255.255.255.255", set()),
    ],
)
def test_a_storage_may_be_as_near_as_label_studio_and_no_nearer(storage: str, allowed_for: set[str]) -> None:
    assert {
        near for near in (PUBLIC, PRIVATE, LOOPBACK) if is_allowed(storage, lambda near=near: [near])
    } == allowed_for


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("http://studio:8080/data/upload/1/a.jpg", "/ls/data/upload/1/a.jpg"),
        ("https://labels.example/data/upload/1/a.jpg", "/ls/data/upload/1/a.jpg"),
        ("https://labels.example/annotate/data/upload/1/a.jpg", "/ls/data/upload/1/a.jpg"),
        ("/data/upload/1/a.jpg", "/ls/data/upload/1/a.jpg"),
        ("/ls/data/upload/1/a.jpg", "/ls/data/upload/1/a.jpg"),
    ],
)
def test_tasks_may_have_further_names_of_label_studio(reference: str, target: str) -> None:
    names = ("https://labels.example", "https://labels.example/annotate/")
    instance = LabelStudioInstance("http://studio:8080/ls", credentials(""), max_bytes=1, aliases=names)
    assert instance.target(reference) == target
    for elsewhere in ("http://labels.example/data/upload/a", "https://labels.example:1/data/upload/a"):
        with pytest.raises(ImageUnreachable):
            instance.target(elsewhere)


def test_a_redirect_to_another_name_of_label_studio_stays_on_the_configured_one() -> None:
    def answer(_method: str, path: str, _header: str | None) -> Answer:
        return (200, {}, IMAGE) if path == "/data/upload/1/b.jpg" else (302, {"Location": far}, b"")

    far = "https://labels.example/data/upload/1/b.jpg"
    with studio(answer) as (url, asked):
        assert fetched(url, aliases=("https://labels.example",)) == IMAGE
    assert [header for _, _, header in asked] == ["Token secret"] * 2


def test_an_alias_that_is_no_address_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="SAM_LABEL_STUDIO_ALIASES"):
        LabelStudioInstance("http://studio", credentials(""), max_bytes=1, aliases=("labels.example",))
