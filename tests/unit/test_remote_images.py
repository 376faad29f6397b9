"""Images by URL: what is fetched, and what a URL cannot make the service do. Sockets are real, name servers are not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from prompt_api.remote_images.addresses import is_no_trap, is_public
from prompt_api.remote_images.allowed import parse_allowed
from prompt_api.remote_images.fetch import MAX_REDIRECTS, MAX_URL, RemoteImages
from prompt_api.remote_images.names import MOST_LOOKUPS, Names, system_lookup
from prompt_api.remote_images.s3 import S3, Credentials, presigned_query, s3_from, signature
from shared.contract.errors import ConfigurationError, ImageTooLarge, ImageUnreachable, UrlNotAllowed
from tests.support.https_server import Answer, Authority, serving

IMAGE = b"the bytes of an image"
NAME, OTHER = "images.example.org", "other.example.org"
HERE = "127.0.0.1"
"""In these tests, the one address that counts as public."""

FOUND: Answer = (200, {"Content-Length": str(len(IMAGE))}, [IMAGE])


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@contextmanager
def host(
    authority: Authority, answer: Callable[[str, str], Answer] = lambda *_: FOUND, *names: str
) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Run an HTTPS server for these names, `NAME` by default."""
    with serving(answer, authority.server_context(*(names or (NAME,)))) as running:
        yield running


def door(
    authority: Authority,
    allowed: str,
    *addresses: str,
    lookup: Callable[[str], Sequence[str]] | None = None,
    **more: Any,
) -> RemoteImages:
    """Return the door under test.

    Args:
        allowed: the setting `SAM_IMAGE_HOSTS`.
        addresses: those of every name; `HERE` by default.
    """
    found = list(addresses or (HERE,))
    options: dict[str, Any] = {
        "max_bytes": 1000,
        "is_public": lambda address: address == HERE,
        "tls": authority.context,
    }
    return RemoteImages(parse_allowed(allowed), names=Names(lookup or (lambda _: found)), **{**options, **more})


@contextmanager
def trap(address: str = HERE) -> Iterator[tuple[int, Callable[[], bool]]]:
    """Listen at an address. Yields the port, and whether nobody has connected."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        listener.setblocking(False)

        def untouched() -> bool:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return True
            return False

        yield listener.getsockname()[1], untouched


# What is fetched


def test_an_image_on_an_allowed_host_is_fetched_under_its_name(authority: Authority) -> None:
    with host(authority) as (port, asked):
        images = door(authority, f"{NAME}:{port}")
        assert images.fetch(f"https://{NAME}:{port}/a/my%20cup.jpg?size=1#top") == IMAGE
    assert asked == [(f"{NAME}:{port}", "/a/my%20cup.jpg?size=1")]


def test_letters_of_a_host_may_be_large_and_its_port_may_be_said(authority: Authority) -> None:
    images = door(authority, NAME)
    for url in (f"https://{NAME.upper()}/a", f"HTTPS://{NAME}:443/a", f"https://{NAME}"):
        assert images.serves(url)


def test_without_hosts_nothing_is_fetched(authority: Authority) -> None:
    with pytest.raises(UrlNotAllowed, match="SAM_IMAGE_HOSTS is empty"):
        door(authority, "").fetch(f"https://{NAME}/a.jpg")


def test_only_one_namespace_may_have_images_fetched(authority: Authority) -> None:
    with host(authority) as (port, asked):
        images = door(authority, f"{NAME}:{port}", only_for="alice")
        with pytest.raises(UrlNotAllowed, match="another namespace"):
            images.fetch(f"https://{NAME}:{port}/a", "bob")
        assert asked == []
        assert images.fetch(f"https://{NAME}:{port}/a", "alice") == IMAGE


@pytest.mark.parametrize(
    "url",
    [
        f"https://{OTHER}/a.jpg",
        f"https://{NAME}:444/a.jpg",
        f"https://{NAME}:0/a.jpg",
        f"https://{NAME}:99999/a.jpg",
        f"http://{NAME}/a.jpg",
        f"ftp://{NAME}/a.jpg",
        f"//{NAME}/a.jpg",
        "file:///etc/passwd",
        "a.jpg",
        "",
        f"https://user:secret@{NAME}/a.jpg",
        f"https://user@{NAME}/a.jpg",
        f"https://@{NAME}/a.jpg",
        f"https://{NAME}@{OTHER}/a.jpg",
        f"https://{OTHER}#@{NAME}/a.jpg",
        f"https://{OTHER}\\@{NAME}/a.jpg",
        f"https://{NAME}\\.{OTHER}/a.jpg",
        f"https://{NAME}./a.jpg",
        f"https://{NAME}%2f.{OTHER}/a.jpg",
        f"https://{NAME}.{OTHER}/a.jpg",
        f"https://x.{NAME}/a.jpg",
        f"https://{NAME}/a\r\nHost: {OTHER}",
        f"https://{NAME}/a b.jpg",
        f"\thttps://{NAME}/a.jpg",
        f"https://{NAME}/ä.jpg",
        "https://ιmages.example.org/a.jpg",
        "https://[::1]/a.jpg",
        "https://[::1/a.jpg",
        "https://127.0.0.1/a.jpg",
        "https://2130706433/a.jpg",
        "https://0x7f000001/a.jpg",
        f"https://{NAME}/{'a' * MAX_URL}",
        "s3://photos/a.jpg",
    ],
)
def test_any_other_url_is_refused_before_a_name_is_looked_up(authority: Authority, url: str) -> None:
    looked: list[str] = []
    images = door(authority, f"{NAME},localhost", lookup=lambda name: looked.append(name) or [HERE])  # type: ignore[func-returns-value]
    with pytest.raises(UrlNotAllowed):
        images.fetch(url)
    assert not images.serves(url)
    assert looked == []


# Addresses


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    assert is_no_trap(address)


NOT_PUBLIC = {
    "loopback": [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
    "any": ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"],
    "private": ["10.0.0.7", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "fec0::1", "::ffff:10.0.0.7"],
    "translated private": ["64:ff9b::a00:7", "64:ff9b:1::a00:7", "2002:a00:7::1", "2001:0:a00:7::1"],
    "link-local": ["169.254.7.7", "fe80::1", "fe80::1%lo", "::ffff:169.254.7.7"],
    "metadata": ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "64:ff9b::a9fe:a9fe"],
    "special": ["224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "2001:db8::1"],
}


@pytest.mark.parametrize("address", [address for group in NOT_PUBLIC.values() for address in group])
def test_a_name_that_leads_to_no_public_address_is_refused_without_a_connection(
    authority: Authority, address: str
) -> None:
    assert not is_public(address)
    with trap() as (port, untouched):
        images = door(authority, f"{NAME}:{port}", address, is_public=is_public)
        with pytest.raises(UrlNotAllowed, match="leads to an address that is not public"):
            images.fetch(f"https://{NAME}:{port}/latest/meta-data")
        assert untouched()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_service_on_this_machine_is_never_touched(authority: Authority, address: str) -> None:
    listens = "::1" if address == "::1" else HERE
    with trap(listens) as (port, untouched):
        with pytest.raises(UrlNotAllowed):
            door(authority, f"{NAME}:{port}", address, is_public=is_public).fetch(f"https://{NAME}:{port}/")
        assert untouched()
        socket.create_connection((address, port), 10).close()  # the trap works
        assert not untouched()


def test_the_real_resolver_leads_localhost_nowhere(authority: Authority) -> None:
    with trap() as (port, untouched):
        images = door(authority, f"localhost:{port}", lookup=system_lookup, is_public=is_public)
        with pytest.raises(UrlNotAllowed):
            images.fetch(f"https://localhost:{port}/")
        assert untouched()


@pytest.mark.parametrize("addresses", [(HERE, "127.0.0.2"), ("127.0.0.2", HERE), (HERE, "169.254.169.254")])
def test_one_address_that_is_not_public_spoils_a_name(authority: Authority, addresses: tuple[str, ...]) -> None:
    with host(authority) as (port, asked), pytest.raises(UrlNotAllowed):
        door(authority, f"{NAME}:{port}", *addresses).fetch(f"https://{NAME}:{port}/")
    assert asked == []


def test_the_connection_goes_to_the_address_that_was_checked(authority: Authority) -> None:
    """A name server that answers with another address each time cannot lead it elsewhere."""
    answers = iter([[HERE], ["127.0.0.2"]])
    tls = authority.server_context(NAME)
    inner: Answer = (200, {}, [b"a secret of this machine"])
    with (
        serving(lambda *_: FOUND, tls) as (port, _),
        serving(lambda *_: inner, tls, host="127.0.0.2", port=port) as (_, asked_inside),
    ):
        images = door(authority, f"{NAME}:{port}", lookup=lambda _: next(answers))
        assert images.fetch(f"https://{NAME}:{port}/") == IMAGE
        with pytest.raises(UrlNotAllowed):  # the name is rebound now
            images.fetch(f"https://{NAME}:{port}/")
    assert asked_inside == []


def test_a_name_that_is_rebound_before_a_redirect_is_refused(authority: Authority) -> None:
    answers = iter([[HERE], ["127.0.0.2"]])
    with host(authority, lambda _, path: (302, {"Location": "/b"}, [])) as (port, asked):
        images = door(authority, f"{NAME}:{port}", lookup=lambda _: next(answers))
        with pytest.raises(UrlNotAllowed):
            images.fetch(f"https://{NAME}:{port}/a")
    assert len(asked) == 1


# Redirects


def test_redirects_between_allowed_hosts_are_followed(authority: Authority) -> None:
    ports: list[int] = []

    def answer(asked: str, path: str) -> Answer:
        if path == "/a":
            return 301, {"Location": "/b?x=1"}, []
        if path == "/b?x=1":
            return 307, {"Location": f"https://{OTHER}:{ports[0]}/c"}, []
        return FOUND

    with host(authority, answer, NAME, OTHER) as (port, asked):
        ports.append(port)
        assert door(authority, f"{NAME}:{port}, {OTHER}:{port}").fetch(f"https://{NAME}:{port}/a") == IMAGE
    assert asked[-1] == (f"{OTHER}:{port}", "/c")


@pytest.mark.parametrize(
    "location",
    [
        "https://elsewhere.example.org/a",
        f"http://{NAME}/a",
        "https://127.0.0.1/a",
        f"https://{NAME}:1/a",
        f"https://user:secret@{NAME}/a",
        "s3://photos/a.jpg",
        "file:///etc/passwd",
        "https://[::1/a",
        "/a\\b",
        "//elsewhere.example.org/a",
    ],
)
def test_a_redirect_off_the_list_is_refused(authority: Authority, location: str) -> None:
    with host(authority, lambda *_: (302, {"Location": location}, [])) as (port, asked):
        s3 = S3(Credentials("key", "secret"), "us-east-1")
        images = door(authority, f"{NAME}:{port},s3://photos", s3=s3)
        with pytest.raises(UrlNotAllowed):
            images.fetch(f"https://{NAME}:{port}/a")
    assert len(asked) == 1


def test_redirects_end(authority: Authority) -> None:
    with (
        host(authority, lambda *_: (302, {"Location": "/a"}, [])) as (port, asked),
        pytest.raises(ImageUnreachable, match="redirects more than 3 times"),
    ):
        door(authority, f"{NAME}:{port}").fetch(f"https://{NAME}:{port}/a")
    assert len(asked) == 1 + MAX_REDIRECTS


# Size and time


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(100)


@pytest.mark.parametrize("answer", [(200, {"Content-Length": "1001"}, [bytes(1001)]), (200, {}, endless())])
def test_an_image_that_is_too_large_is_refused_while_it_is_read(authority: Authority, answer: Answer) -> None:
    with host(authority, lambda *_: answer) as (port, _), pytest.raises(ImageTooLarge) as refusal:
        door(authority, f"{NAME}:{port}").fetch(f"https://{NAME}:{port}/a")
    assert refusal.value.extra == {"max_bytes": 1000}


def test_bytes_that_drip_are_given_up_at_the_deadline(authority: Authority) -> None:
    over = threading.Event()

    def dripping() -> Iterator[bytes]:
        while not over.wait(0.02):
            yield b"a"

    with host(authority, lambda *_: (200, {"Content-Length": "900"}, dripping())) as (port, _):
        with pytest.raises(ImageUnreachable, match="does not answer in time"):
            door(authority, f"{NAME}:{port}", seconds=0.5, max_bytes=10**9).fetch(f"https://{NAME}:{port}/a")
        over.set()


def test_a_host_that_takes_the_connection_and_says_nothing_is_given_up(authority: Authority) -> None:
    with trap() as (port, _), pytest.raises(ImageUnreachable, match="does not answer in time"):
        door(authority, f"{NAME}:{port}", seconds=0.3).fetch(f"https://{NAME}:{port}/a")


def test_a_name_server_that_hangs_ends_the_fetch_in_time(authority: Authority) -> None:
    answered = threading.Event()
    hanging = True

    def lookup(name: str) -> list[str]:
        if hanging:
            answered.wait()
        return [HERE]

    with host(authority) as (port, _):
        images = door(authority, f"{NAME}:{port}", lookup=lookup, seconds=0.2)
        for _ in range(MOST_LOOKUPS + 1):  # the last one does not even find a thread to look the name up
            with pytest.raises(ImageUnreachable, match="does not answer in time"):
                images.fetch(f"https://{NAME}:{port}/a")
        hanging = False
        answered.set()
        patient = door(authority, f"{NAME}:{port}", lookup=lookup)
        assert patient.fetch(f"https://{NAME}:{port}/a") == IMAGE


def test_redirects_share_one_deadline(authority: Authority) -> None:
    now = [0.0]

    def answer(_: str, path: str) -> Answer:
        now[0] += 8
        return 302, {"Location": path + "a"}, []

    with host(authority, answer) as (port, asked), pytest.raises(ImageUnreachable, match="in time"):
        door(authority, f"{NAME}:{port}", clock=lambda: now[0]).fetch(f"https://{NAME}:{port}/a")
    assert len(asked) == 2


# What a host may do wrong


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {}, []), "has no such image"),
        ((403, {}, []), r"does not give the image to this service \(status 403\)"),
        ((500, {}, []), "answers with status 500"),
        ((302, {}, []), "answers with status 302"),
        ((204, {}, []), "answers with status 204"),
        ((200, {"Content-Length": "900"}, [IMAGE]), "stopped in the middle of the image"),
        ((200, {"Content-Encoding": "gzip"}, [IMAGE]), "compressed"),
    ],
)
def test_refusals_and_faults_are_said(authority: Authority, answer: Answer, words: str) -> None:
    with host(authority, lambda *_: answer) as (port, _), pytest.raises(ImageUnreachable, match=words):
        door(authority, f"{NAME}:{port}").fetch(f"https://{NAME}:{port}/a")


def test_a_certificate_must_be_trusted_and_of_that_name(authority: Authority) -> None:
    with host(authority) as (port, asked):
        with pytest.raises(ImageUnreachable, match=r"certificate of images\.example\.org is not trusted"):
            door(Authority(), f"{NAME}:{port}").fetch(f"https://{NAME}:{port}/a")
        with pytest.raises(ImageUnreachable, match=r"certificate of other\.example\.org is not trusted"):
            door(authority, f"{OTHER}:{port}").fetch(f"https://{OTHER}:{port}/a")
    assert asked == []


def test_a_host_that_is_away_is_said_to_be_and_nothing_more(authority: Authority) -> None:
    with trap() as (port, _):
        pass
    with pytest.raises(ImageUnreachable) as refusal:
        door(authority, f"{NAME}:{port}").fetch(f"https://{NAME}:{port}/a")
    assert refusal.value.detail == f"{NAME} cannot be reached"


def test_a_name_without_an_address_cannot_be_reached(authority: Authority) -> None:
    def unknown(name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for lookup in (unknown, lambda _: []):
        with pytest.raises(ImageUnreachable, match="cannot be reached"):
            door(authority, NAME, lookup=lookup).fetch(f"https://{NAME}/a")


# The list


def test_the_list_has_hosts_with_ports_and_buckets() -> None:
    allowed = parse_allowed(" Images.example.org, other.example.org:8443 ,s3://my.photos-1,,")
    assert allowed.hosts == {("images.example.org", 443), ("other.example.org", 8443)}
    assert allowed.buckets == {"my.photos-1"}


@pytest.mark.parametrize(
    "entry",
    [
        "https://images.example.org",
        "images.example.org/a",
        "*.example.org",
        "*",
        "user@images.example.org",
        "images.example.org:",
        "images.example.org:0",
        "images.example.org:70000",
        "-images.example.org",
        "images..example.org",
        "images.example.org.",
        f"{'a' * 64}.example.org",
        "bücher.example",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "::1",
        "s3://",
        "s3://Photos",
        "s3://photos/2026",
        "s3://a..b",
        "gs://photos",
    ],
)
def test_what_is_neither_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="SAM_IMAGE_HOSTS"):
        parse_allowed(entry)


# S3

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MOMENT = datetime(2013, 5, 24, tzinfo=UTC)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing."""


def test_a_presigned_query_is_that_of_the_example_in_amazons_documentation() -> None:
    query = presigned_query(
        EXAMPLE, "us-east-1", host="examplebucket.s3.amazonaws.com", path="/test.txt", now=MOMENT, seconds=86_400
    )
    assert query == (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize(
    ("path", "query", "headers", "expected"),
    [
        (
            "/test.txt",
            "",
            {"range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        ("/", "lifecycle=", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/", "max-keys=2&prefix=J", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_signatures_are_those_of_the_examples_in_amazons_documentation(
    path: str, query: str, headers: dict[str, str], expected: str
) -> None:
    always = {
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": "20130524T000000Z",
    }
    found = signature(
        EXAMPLE.secret_key,
        "us-east-1",
        "20130524T000000Z",
        path=path,
        query=query,
        headers=always | headers,
        payload=EMPTY,
    )
    assert found == expected


@pytest.mark.parametrize(
    ("s3", "bucket", "start"),
    [
        (S3(EXAMPLE, "eu-central-1"), "photos", "https://photos.s3.eu-central-1.amazonaws.com/a/b"),
        (S3(EXAMPLE, "eu-central-1"), "my.photos", "https://s3.eu-central-1.amazonaws.com/my.photos/a/b"),
        (S3(EXAMPLE, "cn-north-1"), "photos", "https://photos.s3.cn-north-1.amazonaws.com.cn/a/b"),
        (S3(EXAMPLE, "x", urlsplit("http://minio:9000")), "photos", "http://minio:9000/photos/a/b"),
        (S3(EXAMPLE, "x", urlsplit("https://h.example/s3/")), "photos", "https://h.example/s3/photos/a/b"),
    ],
)
def test_an_object_is_asked_for_where_its_bucket_is(s3: S3, bucket: str, start: str) -> None:
    assert s3.address(bucket, "a/b", MOMENT).geturl().startswith(f"{start}?X-Amz-Algorithm")


def test_temporary_credentials_sign_with_their_token() -> None:
    s3 = S3(Credentials("key", "secret", "a/token+="), "eu-central-1")
    query = s3.address("photos", "a.jpg", MOMENT).query
    assert parse_qs(query)["X-Amz-Security-Token"] == ["a/token+="]
    names = [part.partition("=")[0] for part in query.split("&")]
    assert names == [*sorted(names[:-1]), "X-Amz-Signature"]


@contextmanager
def bucket_server(answer: Callable[[str, str], Answer]) -> Iterator[tuple[S3, list[tuple[str, str]]]]:
    """Run a server with S3's interface on this machine, as an operator may."""
    with serving(answer) as (port, asked):
        yield S3(EXAMPLE, "eu-central-1", urlsplit(f"http://store.internal:{port}")), asked


def test_an_object_is_fetched_with_a_signature_from_the_operators_own_store(authority: Authority) -> None:
    with bucket_server(lambda *_: FOUND) as (s3, asked):
        images = door(authority, "s3://photos", s3=s3, now=lambda: MOMENT, is_public=is_public)
        assert images.fetch("S3://photos/my cup?#ü%20.jpg") == IMAGE
    expected = s3.address("photos", "my cup?#ü%20.jpg", MOMENT)
    assert expected.path == "/photos/my%20cup%3F%23%C3%BC%2520.jpg"
    assert asked == [(expected.netloc, f"{expected.path}?{expected.query}")]


@pytest.mark.parametrize(
    "uri",
    [
        "s3://others/a.jpg",
        "s3://photos",
        "s3://photos/",
        "s3://photos/../others/a.jpg",
        "s3://photos/a/./b",
        "s3://photos/..",
        "s3://photos@elsewhere/a.jpg",
        "s3:///a.jpg",
        "s3://photos/\ud800",
    ],
)
def test_only_objects_of_allowed_buckets_are_fetched(authority: Authority, uri: str) -> None:
    with bucket_server(lambda *_: FOUND) as (s3, asked), pytest.raises(UrlNotAllowed):
        door(authority, "s3://photos", s3=s3).fetch(uri)
    assert asked == []


def test_a_store_is_asked_once_and_leads_nowhere_else(authority: Authority) -> None:
    with (
        bucket_server(lambda *_: (307, {"Location": f"https://{NAME}/a"}, [])) as (s3, asked),
        pytest.raises(ImageUnreachable, match="status 307"),
    ):
        door(authority, f"s3://photos,{NAME}", s3=s3).fetch("s3://photos/a.jpg")
    assert len(asked) == 1


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "fd00:ec2::254"])
def test_even_the_operators_store_is_no_metadata_service(authority: Authority, address: str) -> None:
    assert not is_no_trap(address)
    with bucket_server(lambda *_: FOUND) as (s3, asked), pytest.raises(UrlNotAllowed):
        door(authority, "s3://photos", address, s3=s3).fetch("s3://photos/a.jpg")
    assert asked == []


def test_amazons_own_names_must_lead_to_public_addresses(authority: Authority) -> None:
    images = door(authority, "s3://photos", "10.0.0.7", s3=S3(EXAMPLE, "eu-central-1"), is_public=is_public)
    with pytest.raises(UrlNotAllowed, match="not public"):
        images.fetch("s3://photos/a.jpg")


def test_the_usual_variables_say_who_asks_and_where() -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hushhush",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://minio:9000",
    }
    found = s3_from(environ)
    assert (found.credentials, found.region) == (Credentials("key", "hushhush", "token"), "eu-west-1")
    assert found.endpoint == urlsplit("http://minio:9000")
    assert "hushhush" not in repr(found)
    assert s3_from({**environ, "AWS_REGION": "eu-west-2", "AWS_ENDPOINT_URL_S3": "https://a"}).region == "eu-west-2"


@pytest.mark.parametrize(
    "change",
    [
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": " "},
        {"AWS_REGION": "eu west"},
        {"AWS_ENDPOINT_URL_S3": "minio:9000"},
        {"AWS_ENDPOINT_URL_S3": "https://user:secret@minio"},
        {"AWS_ENDPOINT_URL_S3": "https://[::1"},
    ],
)
def test_variables_that_are_missing_or_malformed_stop_the_start(change: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="AWS_"):
        s3_from({"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", **change})
