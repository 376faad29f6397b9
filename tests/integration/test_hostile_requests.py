"""Hostile requests, sent as raw bytes over a socket. Each is soon answered with a problem, and nothing breaks."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.support.stack import ObservedStack
from tests.support.world import png

SECONDS = 60.0
"""Far more than any of these takes: it only keeps a hang from stopping the tests."""

FORM = "Content-Type: multipart/form-data; boundary=b"
CHUNKED = "Transfer-Encoding: chunked"
PROMPT = json.dumps({"prompts": [{"points": [[1, 1]], "labels": [1]}]}).encode()


class Target:
    """The service as an attacker sees it.

    Attributes:
        masks: the path for prompts on an image that is ready.
    """

    def __init__(self, stack: ObservedStack) -> None:
        host, port = stack.url.removeprefix("http://").split(":")
        self.url, self._address = stack.url, (host, int(port))
        answer = httpx.post(f"{stack.url}/v1/images?wait=20", content=png(), timeout=60)
        self.image = f"/v1/images/{answer.json()['image_id']}"
        self.masks = f"{self.image}/masks"

    def answer(self, data: bytes) -> tuple[int, str]:
        """Return the status and the problem code ("" if it is not a problem). The server must close the connection."""
        with closing(socket.create_connection(self._address, timeout=SECONDS)) as sock:
            sock.sendall(data)
            received = b""
            while piece := sock.recv(65536):
                received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        is_problem = b"application/problem+json" in head
        return int(head.split()[1]), json.loads(body)["code"] if is_problem else ""


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with ObservedStack({"SAM_MODEL": "fake", "SAM_API_THREADS": "4"}) as stack:
        yield Target(stack)
        assert not [line for line in stack.log("api") if "Traceback" in line]


def request(method: str, path: str, *headers: str, body: bytes | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if body is not None and CHUNKED not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


HEADS = {
    "one header of megabytes": request("GET", "/healthz", "X-A: " + "a" * 3_000_000),
    "ten thousand headers": request("GET", "/healthz", *[f"X-{number}: a" for number in range(10_000)]),
    "a target of megabytes": request("GET", "/" + "a" * 3_000_000),
    "a hundred thousand arguments": request("GET", "/healthz?" + "a&" * 100_000),
}


@pytest.mark.parametrize("data", HEADS.values(), ids=HEADS)
def test_a_head_beyond_its_cap_is_refused(target: Target, data: bytes) -> None:
    assert target.answer(data) == (431, "request-header-fields-too-large")


MALFORMED = {
    "two lengths": request("POST", "/v1/images", "Content-Length: 5", "Content-Length: 6") + b"abcdef",
    "a negative length": request("POST", "/v1/images", "Content-Length: -5"),
    "a length with a sign": request("POST", "/v1/images", "Content-Length: +5") + b"abcde",
    "a length of thousands of digits": request("POST", "/v1/images", "Content-Length: " + "9" * 5000),
    "a negative chunk": request("POST", "/v1/images", CHUNKED, body=b"-5\r\nabc\r\n0\r\n\r\n"),
    "a chunk that goes on": request("POST", "/v1/images", CHUNKED, body=b"5\r\nabcdeXX0\r\n\r\n"),
    "an endless chunk extension": request("POST", "/v1/images", CHUNKED, body=b"5;" + b"x" * 300_000),
    "endless trailers": request("POST", "/v1/images", CHUNKED, body=b"5\r\nabcde\r\n0\r\n" + b"A: b\r\n" * 50_000),
    "chunks of a byte each": request("POST", "/v1/images", CHUNKED, body=b"1\r\na\r\n" * 50_000),
    "a NUL in a header": request("GET", "/healthz", "X-A: \0"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_http_is_a_bad_request(target: Target, data: bytes) -> None:
    assert target.answer(data) == (400, "bad-request")


BODIES = {
    "nested arrays": b'{"prompts":' + b"[" * 2_000_000,
    "nested objects": b'{"prompts":' + b'{"a":' * 1_000_000,
    "a million prompts": b'{"prompts":[' + b"{}," * 1_000_000 + b"{}]}",
    "two million points": b'{"prompts":[{"points":[' + b"[1,1]," * 2_000_000 + b'[1,1]],"labels":[1]}]}',
    "a million members": b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}",
    "a number of a million digits": b'{"prompts":[{"points":[[' + b"9" * 1_000_000 + b',1]],"labels":[1]}]}',
    "a member's name of megabytes": b'{"' + b"n" * 4_000_000 + b'":1}',
    "a token of megabytes": b'{"prompts":[{"mask_token":"' + b"a" * 4_000_000 + b'"}]}',
    "logits of megabytes": b'{"prompts":[{"mask_logits":"' + b"A" * 4_000_000 + b'"}]}',
    "logits beyond ASCII": '{"prompts":[{"mask_logits":"\u00e9"}]}'.encode(),
    "half a surrogate pair": b'{"prompts":[{"mask_token":"\\ud800"}]}',
    "another encoding": json.dumps({"prompts": []}).encode("utf-16"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_hostile_prompt_is_an_invalid_prompt(target: Target, body: bytes) -> None:
    assert target.answer(request("POST", target.masks, body=body)) == (422, "invalid-prompt")


def test_a_prompt_beyond_its_cap_is_refused_unread(target: Target) -> None:
    body = b'{"prompts":"' + b" " * 17_000_000
    assert target.answer(request("POST", target.masks, body=body)) == (413, "request-too-large")


def test_the_name_of_an_unknown_member_is_not_sent_back_whole(target: Target) -> None:
    answer = httpx.post(f"{target.url}{target.masks}", content=BODIES["a member's name of megabytes"], timeout=SECONDS)
    assert len(answer.content) < 2000


def test_compressed_bodies_are_never_unpacked(target: Target) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    header = "Content-Encoding: gzip"
    assert target.answer(request("POST", target.masks, header, body=bomb)) == (422, "invalid-prompt")
    assert target.answer(request("POST", "/v1/images", header, body=bomb)) == (415, "unsupported-image")
    packed = "Transfer-Encoding: gzip, chunked"
    assert target.answer(request("POST", "/v1/images", packed)) == (501, "not-implemented")


FORMS = {
    "no boundary": (["Content-Type: multipart/form-data"], form(b"")),
    "a boundary of thousands": (["Content-Type: multipart/form-data; boundary=" + "b" * 5000], form(b"")),
    "a part without a head": ([FORM], form(b"\r\n" + png())),
    "nothing but boundaries": ([FORM], b"--b\r\n" * 100_000),
    "a name that is no text": ([FORM], form(b'Content-Disposition: form-data; name="\xff\xfe"\r\n\r\n1')),
    "cut in its file": (
        [FORM],
        form(b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + png())[:-40],
    ),
}


@pytest.mark.parametrize(("headers", "body"), FORMS.values(), ids=FORMS)
def test_a_hostile_form_holds_no_image(target: Target, headers: list[str], body: bytes) -> None:
    assert target.answer(request("POST", "/v1/images", *headers, body=body)) == (422, "invalid-image")


LARGE_FORMS = {
    "thousands of parts": form(*[b'Content-Disposition: form-data; name="x"\r\n\r\n1'] * 3000),
    "a part's header of megabytes": form(b"X: " + b"a" * 2_000_000 + b"\r\n\r\n1"),
    "a hundred thousand headers in a part": form(b"X: a\r\n" * 100_000 + b"\r\n1"),
    "a text field of megabytes": form(b'Content-Disposition: form-data; name="x"\r\n\r\n' + b"1" * 2_000_000),
    "nearly boundaries": b"\r\n--" * 200_000,
}


@pytest.mark.parametrize("body", LARGE_FORMS.values(), ids=LARGE_FORMS)
def test_a_form_that_is_more_than_an_image_is_too_large(target: Target, body: bytes) -> None:
    assert target.answer(request("POST", "/v1/images", FORM, body=body)) == (413, "image-too-large")


@pytest.mark.parametrize(
    "query", ["1e309", "-1", "NaN", "%D9%A1", "9" * 50_000, "0x1", "1_0", "%00", "1%0d%0aX:%20y", "", "30.0001"]
)
def test_an_absurd_wait_is_refused(target: Target, query: str) -> None:
    assert target.answer(request("GET", f"{target.image}?wait={query}")) == (422, "invalid-parameter")


@pytest.mark.parametrize("query", ["%00", "%ff", "x" * 50_000, "..%2f..%2fetc", "fake%0a"])
def test_an_absurd_model_is_not_found(target: Target, query: str) -> None:
    assert target.answer(request("GET", f"{target.image}?model={query}")) == (404, "model-not-found")


@pytest.mark.parametrize("image_id", ["%00", "%ff%fe", "A" * 64, "a" * 63, "a" * 64 + "%0a", "x" * 50_000, "*"])
def test_an_absurd_image_id_is_not_found(target: Target, image_id: str) -> None:
    assert target.answer(request("GET", f"/v1/images/{image_id}")) == (404, "image-not-found")


@pytest.mark.parametrize(
    "header",
    ["Range: " + "bytes=0-," * 5000, "If-None-Match: " + '"a",' * 12_000, "Accept: " + "a/b;q=0.1," * 5000],
    ids=["ranges", "tags", "types"],
)
def test_headers_full_of_alternatives_change_nothing(target: Target, header: str) -> None:
    assert target.answer(request("GET", target.image, header)) == (200, "")


def test_the_service_still_serves(target: Target) -> None:
    assert target.answer(request("POST", target.masks, body=PROMPT)) == (200, "")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (["Origin: https://evil.example"], (403, "foreign-origin")),
        (["Sec-Fetch-Site: cross-site"], (403, "foreign-origin")),
        (["Origin: null", "Authorization: Bearer samtok_x"], (403, "foreign-origin")),
    ],
    ids=str,
)
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", CHUNKED])
def test_a_foreign_page_is_refused_before_its_body_is_read(
    target: Target, framing: str, sent: list[str], expected: tuple[int, str]
) -> None:
    assert target.answer(request("POST", "/v1/images", *sent, framing)) == expected


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/v1/models", "/metrics", "/static/x", "/nowhere", "http://localhost/v1/models"])
def test_under_a_foreign_name_nothing_is_told(target: Target, method: str, path: str) -> None:
    asked = request(method, path).replace(b"Host: localhost", b"Host: evil.example")
    assert target.answer(asked) == (421, "unknown-host")
    assert target.answer(request("GET", "/healthz").replace(b"Host: localhost", b"Host: evil.example")) == (200, "")


def test_a_foreign_page_deletes_nothing(target: Target) -> None:
    assert target.answer(request("DELETE", target.image, "Origin: http://localhost:1")) == (403, "foreign-origin")
    assert target.answer(request("GET", target.image))[0] == 200
