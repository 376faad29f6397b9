"""Fetches task images from the one configured Label Studio, and from no other address.

A task's image reference is user input, so it must not make this service send requests to other machines. Only paths
under which Label Studio keeps images are requested, only on the configured origin. Redirects obey the same rules.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from prompt_api.integrations.label_studio.credentials import Credentials
from prompt_api.integrations.label_studio.exchange import LimitedConnection, Limits
from shared.contract.errors import ConfigurationError, ImageTooLarge, ImageUnreachable

IDLE_SECONDS = 5.0
"""Longest wait for a connection or for the next bytes, in seconds."""

FETCH_SECONDS = 15.0
"""Longest fetch of one image in seconds: everything, with its redirects and token requests, however slowly it comes."""

MAX_REDIRECTS = 3
MAX_TOKEN_ANSWER = 64 * 1024
CHUNK = 256 * 1024

_MEDIA = re.compile(
    r"/data/(upload|local-files)/|/storage-data/uploaded/|/(tasks|projects)/[0-9]+/(resolve|presign)/", re.ASCII
)
_PLAIN = re.compile(r"[!-~]+", re.ASCII)
_TREACHEROUS = re.compile(r"[\x00-\x1f\x7f\\]")
"""Control characters, which URL parsers drop silently, and the backslash, which some parsers treat as a slash."""


class LabelStudioInstance:
    """Fetches images from the configured Label Studio. Thread-safe. It keeps no connection open."""

    def __init__(
        self, url: str, credentials: Credentials, *, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args:
            url: address of Label Studio, with its path if it is served under one.
            max_bytes: most bytes of an image.

        Raises:
            ConfigurationError: `url` is not an http or https address.
        """
        self._base = _configured(url)
        self._credentials = credentials
        self._max_bytes = max_bytes
        self._clock = clock
        self._tls = ssl.create_default_context() if self._base.scheme == "https" else None

    def target(self, reference: str) -> str:
        """Return the path and query of an image on this Label Studio.

        Args:
            reference: an absolute URL, or a path with or without the path of the configured address.

        Raises:
            ImageUnreachable: the reference has another origin, or a path where Label Studio keeps no images.
        """
        shown = reference if len(reference) <= 200 else f"{reference[:200]}…"
        if _TREACHEROUS.search(reference):
            raise ImageUnreachable(f"{shown!r} has characters that are not allowed in a URL")
        try:
            parts = urlsplit(reference)
            elsewhere = bool(parts.scheme or parts.netloc) and _origin(parts) != _origin(self._base)
        except ValueError:
            raise ImageUnreachable(f"{shown!r} is not a URL") from None
        if elsewhere or parts.username is not None:
            raise ImageUnreachable(f"{shown!r} is not on the Label Studio of SAM_LABEL_STUDIO_URL")
        prefix = self._base.path
        path = parts.path if prefix and parts.path.startswith(f"{prefix}/") else prefix + parts.path
        within = unquote(path.removeprefix(prefix))
        if not _MEDIA.match(within) or ".." in within.split("/") or "\\" in within:
            raise ImageUnreachable(f"{shown!r} is not where Label Studio keeps images, such as /data/upload/")
        # File names may be unescaped. Escape them, but do not escape `%` again.
        return quote(f"{path}?{parts.query}" if parts.query else path, safe="%/?&=:;,@+$!*'()~[]#")

    def fetch(self, target: str, may_go_on: Callable[[], None] = lambda: None) -> bytes:
        """Fetch the image at `target`, which `self.target` returned.

        Args:
            may_go_on: asked several times a second; what it raises ends the fetch.

        Raises:
            ImageUnreachable: Label Studio refuses, has no such file, is unreachable or slow, or redirects to another
                place.
            ImageTooLarge: the image has more than `max_bytes`.
        """
        limits = Limits(self._clock() + FETCH_SECONDS, IDLE_SECONDS, may_go_on=may_go_on, clock=self._clock)
        redirects = 0
        retried = False
        while True:
            header = self._credentials.header(lambda token: self._access_token(token, limits))
            headers = {} if header is None else {"Authorization": header}
            status, location, body = self._exchange(target, headers, most=self._max_bytes, limits=limits)
            if status == 200:
                return body
            if status in (301, 302, 303, 307, 308) and location and redirects < MAX_REDIRECTS:
                redirects += 1
                target = self.target(urljoin(self._base.geturl() + target.removeprefix(self._base.path), location))
            elif status == 401 and not retried and self._credentials.refused(header):
                retried = True
            else:
                raise ImageUnreachable(_reason(status))

    def _access_token(self, token: str, limits: Limits) -> str:
        body = json.dumps({"refresh": token}).encode()
        headers = {"Content-Type": "application/json"}
        path = f"{self._base.path}/api/token/refresh/"
        status, _, answer = self._exchange(path, headers, most=MAX_TOKEN_ANSWER, limits=limits, body=body)
        if status == 200:
            try:
                access = json.loads(answer)["access"]
            except (ValueError, TypeError, KeyError, RecursionError):
                access = None
            if isinstance(access, str) and _PLAIN.fullmatch(access):
                return access
        raise ImageUnreachable(f"Label Studio gives no access token for SAM_LABEL_STUDIO_TOKEN (status {status})")

    def _exchange(
        self, path: str, headers: dict[str, str], *, most: int, limits: Limits, body: bytes | None = None
    ) -> tuple[int, str | None, bytes]:
        """Send a GET, or a POST if there is a body. Return (status, `Location` of a redirect, body of a 200)."""
        connection = self._connection(limits)
        try:
            connection.request(
                "GET" if body is None else "POST", path, body=body, headers={"Accept-Encoding": "identity", **headers}
            )
            answer = connection.getresponse()
            received = self._read(answer, most) if answer.status == 200 else b""
            return answer.status, answer.headers.get("Location"), received
        except TimeoutError:
            raise ImageUnreachable("Label Studio does not answer in time") from None
        except (OSError, HTTPException) as error:
            raise ImageUnreachable(f"Label Studio cannot be reached: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def _connection(self, limits: Limits) -> LimitedConnection:
        assert self._base.hostname is not None
        return LimitedConnection(self._base.hostname, self._base.port, limits, self._tls)

    def _read(self, answer: HTTPResponse, most: int) -> bytes:
        # A compressed body could unpack to any size.
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise ImageUnreachable("Label Studio sent a compressed answer, which was not requested")
        received = bytearray()
        while chunk := answer.read1(CHUNK):
            received += chunk
            if len(received) > most:
                raise ImageTooLarge(f"the image has more than {most} bytes", max_bytes=most)
        if answer.length:
            raise ImageUnreachable("Label Studio stopped in the middle of the image")
        return bytes(received)


def _configured(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.rstrip("/"))
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username is not None or parts.query or parts.fragment or not _PLAIN.fullmatch(url):
        raise ConfigurationError(f"SAM_LABEL_STUDIO_URL={url!r} is not an address like https://labels.example.org")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _reason(status: int) -> str:
    if status in (401, 403):
        return "Label Studio does not show the image to the user of SAM_LABEL_STUDIO_TOKEN"
    if status == 404:
        return "Label Studio has no such image"
    return f"Label Studio answers with status {status}"
