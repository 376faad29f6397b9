"""The format of errors: every refusal is a problem document with a stable code."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from werkzeug.test import TestResponse

from prompt_api.wire import problems
from shared.contract import errors
from shared.contract.errors import SamCacheError
from tests.support.world import World, png


def assert_problem(answer: TestResponse, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == code
    assert answer.json["status"] == status
    assert answer.json["type"] == f"urn:sam-embedding-cache:problem:{code}"
    assert answer.json["title"]
    assert answer.json["detail"]


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG that claims 30000x30000 in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


FRAMES = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]

BAD_UPLOADS: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 422, "invalid-image"),
    "text": (b"Dear annotator, here is my photo.", 415, "unsupported-image"),
    "a JPEG cut before its scan": (saved(FRAMES[0].resize((640, 480)), "JPEG")[:300], 422, "invalid-image"),
    "a truncated PNG": (png()[:-20], 422, "invalid-image"),
    "900 megapixels": (bomb(), 413, "image-too-large"),
    "an animated WEBP": (saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), 415, "unsupported-image"),
    "an animated PNG": (saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), 415, "unsupported-image"),
    "a GIF": (saved(FRAMES[0], "GIF"), 415, "unsupported-image"),
    "a truncated TIFF": (saved(FRAMES[0], "TIFF")[:-500], 422, "invalid-image"),
}


@pytest.mark.parametrize(("data", "status", "code"), BAD_UPLOADS.values(), ids=BAD_UPLOADS.keys())
def test_what_is_no_image_is_refused_by_kind(world: World, data: bytes, status: int, code: str) -> None:
    environ = {"CONTENT_LENGTH": str(len(data)), "wsgi.input": io.BytesIO(data)}
    assert_problem(world.client.post("/v1/images", environ_overrides=environ), status, code)


def test_an_upload_without_a_body_needs_a_length(world: World) -> None:
    assert_problem(world.client.post("/v1/images"), 411, "length-required")


def test_a_declared_length_over_the_cap_is_refused_unread(make_world: Callable[..., World]) -> None:
    world = make_world(max_upload_bytes=1000)

    class Unread(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError("the body was read")

    answer = world.client.post("/v1/images", environ_overrides={"CONTENT_LENGTH": "1001", "wsgi.input": Unread()})
    assert_problem(answer, 413, "image-too-large")
    assert answer.json["max_bytes"] == 1000


def test_an_undeclared_length_over_the_cap_is_refused_while_reading(make_world: Callable[..., World]) -> None:
    world = make_world(max_upload_bytes=1000)
    answer = world.client.post(
        "/v1/images",
        input_stream=io.BytesIO(bytes(5_000_000)),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert_problem(answer, 413, "image-too-large")


def test_a_form_over_the_cap_is_refused(make_world: Callable[..., World]) -> None:
    world = make_world(max_upload_bytes=1000)
    for size in (1001, 500_000):
        answer = world.client.post("/v1/images", data={"image": (io.BytesIO(bytes(size)), "x.png")})
        assert_problem(answer, 413, "image-too-large")


def test_a_form_with_a_large_text_field_is_refused(world: World) -> None:
    for field in (b"image", b"more"):
        text = b"x" * 600_000
        body = b'--b\r\nContent-Disposition: form-data; name="' + field + b'"\r\n\r\n' + text + b"\r\n--b--\r\n"
        answer = world.client.post("/v1/images", data=body, content_type="multipart/form-data; boundary=b")
        assert_problem(answer, 413, "image-too-large")


def test_a_form_without_the_field_is_refused(world: World) -> None:
    answer = world.client.post("/v1/images", data={"photo": (io.BytesIO(png()), "x.png")})
    assert_problem(answer, 422, "invalid-image")


def test_a_prompt_request_over_the_cap_is_refused(world: World) -> None:
    answer = world.client.post(f"/v1/images/{'0' * 64}/masks", data=bytes(16 * 1024 * 1024 + 1))
    assert_problem(answer, 413, "request-too-large")


def test_a_full_queue_refuses_with_a_time_to_come_back(make_world: Callable[..., World]) -> None:
    world = make_world(max_queued=1)
    assert world.client.post("/v1/images", data=png()).status_code == 202
    answer = world.client.post("/v1/images", data=png(colour=(3, 3, 3)))
    assert_problem(answer, 503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1


def test_unknown_models_are_refused_everywhere(world: World) -> None:
    for method, path in [
        ("POST", "/v1/images?model=nope"),
        ("GET", f"/v1/images/{'0' * 64}?model=nope"),
        ("GET", f"/v1/images/{'0' * 64}/events?model=nope"),
        ("GET", f"/v1/images/{'0' * 64}/embedding?model=nope"),
        ("GET", "/v1/models/nope"),
        ("GET", "/v1/models/nope/decoder.onnx"),
    ]:
        assert_problem(world.client.open(path, method=method, data=png()), 404, "model-not-found")


def test_the_frameworks_own_errors_are_problems_too(world: World) -> None:
    assert_problem(world.client.get("/v1/nothing"), 404, "not-found")
    answer = world.client.put("/v1/images")
    assert_problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_bug_is_a_problem_that_tells_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(world.store, "get", broken)
    answer = world.client.get(f"/v1/images/{'0' * 64}")
    assert_problem(answer, 500, "internal-error")
    assert "secret" not in answer.text


def test_readiness_names_what_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.client.get("/readyz").json == {
        "status": "ready",
        "failing": [],
        "degraded": [],
        "checks": {
            "cache": "ok",
            "queue": "ok",
            "events": "ok",
            "temporary files": "ok",
            "workers of fake": "not known",
            "workers of other": "not known",
            "mask workers of fake": "not known",
            "mask workers of other": "not known",
        },
    }

    def down() -> None:
        raise errors.StoreUnavailable("Redis is away")

    monkeypatch.setitem(world.services.checks, "cache", down)  # type: ignore[arg-type]
    answer = world.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["failing"] == ["cache"]
    assert world.client.get("/healthz").status_code == 200


def every_error() -> list[type[SamCacheError]]:
    found, pending = [], [SamCacheError]
    while pending:
        for kind in pending.pop().__subclasses__():
            found.append(kind)
            pending.append(kind)
    return found


def test_every_error_a_client_can_meet_has_a_status() -> None:
    internal = {
        errors.RequestError,
        errors.Unavailable,
        errors.DamagedEmbedding,
        errors.StartupError,
        errors.ConfigurationError,
        errors.WeightsError,
    }
    assert {kind for kind in every_error() if kind.__module__ == "shared.contract.errors"} - internal == set(
        problems.STATUS
    )


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in every_error() if "code" in vars(kind)]
    assert len(codes) == len(set(codes))
