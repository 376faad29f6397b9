"""Fetches task images from the one configured Label Studio, and from no other address.

A task's image reference is user input, so it must not make this service send requests to other machines. Only paths
under which Label Studio keeps images are requested, only on the configured origin. Redirects obey the same rules, with
one exception: for an image in cloud storage, Label Studio itself redirects to the storage. That redirect is followed
once, without the token, and only to an address that `addresses` allows.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from http.client import HTTPException
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from prompt_api.integrations.label_studio.addresses import is_allowed
from prompt_api.integrations.label_studio.credentials import Credentials, NoToken
from prompt_api.remote_images.exchange import LimitedConnection, Limits, read_body
from shared.contract.errors import ConfigurationError, ImageUnreachable

IDLE_SECONDS = 5.0
"""Longest wait for a connection or for the next bytes, in seconds."""

FETCH_SECONDS = 15.0
"""Longest fetch of one image in seconds: everything, with its redirects and token requests, however slowly it comes."""

MAX_REDIRECTS = 3
MAX_TOKEN_ANSWER = 64 * 1024

_MEDIA = re.compile(
    r"/data/upload/|/data/local-files(/|$)|/storage-data/uploaded/|/(tasks|projects)/[0-9]+/(resolve|presign)/",
    re.ASCII,
)
_IN_STORAGE = re.compile(r"/(tasks|projects)/[0-9]+/(resolve|presign)/", re.ASCII)
"""The paths from which Label Studio redirects to a storage."""

_PLAIN = re.compile(r"[!-~]+", re.ASCII)
_TREACHEROUS = re.compile(r"[\x00-\x1f\x7f\\]")
"""Control characters, which URL parsers drop silently, and the backslash, which some parsers treat as a slash."""


class LabelStudioInstance:
    """Fetches images from the configured Label Studio. Thread-safe. It keeps no connection open."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        max_bytes: int,
        aliases: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
            url: address of Label Studio, with its path if it is served under one.
            max_bytes: most bytes of an image.
            aliases: further addresses that tasks have for the same Label Studio. Requests go to `url`.

        Raises:
            ConfigurationError: `url` or an alias is not an http or https address.
        """
        self._base = _configured(url)
        self._names = (self._base, *(_configured(alias, "SAM_LABEL_STUDIO_ALIASES") for alias in aliases))
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
            name = self._name_in(parts)
        except ValueError:
            raise ImageUnreachable(f"{shown!r} is not a URL") from None
        if name is None or parts.username is not None:
            raise ImageUnreachable(f"{shown!r} is not on the Label Studio of SAM_LABEL_STUDIO_URL")
        prefix = self._base.path
        path = prefix + (parts.path.removeprefix(name.path) if _is_under(name, parts.path) else parts.path)
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
                if self._leads_to_storage(target, location):
                    return self._from_storage(location, limits)
                target = self._redirected(target, location)
            elif status == 401 and not retried and self._credentials.refused(header):
                retried = True
            else:
                raise ImageUnreachable(_reason(status))

    def _name_in(self, parts: SplitResult) -> SplitResult | None:
        """Return the name of this Label Studio that a reference has, or None if it has another origin.

        A path alone has the name of the configured address.
        """
        if not parts.scheme and not parts.netloc:
            return self._base
        found = [name for name in self._names if _origin(parts) == _origin(name)]
        return next((name for name in found if _is_under(name, parts.path)), found[0] if found else None)

    def _redirected(self, target: str, location: str) -> str:
        """Return the target to which Label Studio redirects from `target`. It raises as `self.target` does."""
        try:
            reference = urljoin(self._base.geturl() + target.removeprefix(self._base.path), location)
        except ValueError:
            raise ImageUnreachable("Label Studio redirects to what is not a URL") from None
        return self.target(reference)

    def _leads_to_storage(self, target: str, location: str) -> bool:
        """Return whether Label Studio redirects from `target` to a storage outside itself."""
        if not _IN_STORAGE.match(target.removeprefix(self._base.path)) or _TREACHEROUS.search(location):
            return False
        try:
            parts = urlsplit(location)
            return parts.scheme in ("http", "https") and self._name_in(parts) is None
        except ValueError:
            return False

    def _from_storage(self, url: str, limits: Limits) -> bytes:
        """Fetch an image from the storage that Label Studio points to. No redirect is followed from there."""
        parts = urlsplit(url)
        try:
            storage = _Storage(f"{parts.scheme}://{parts.netloc}", self._base, self._max_bytes, self._clock)
        except ConfigurationError:
            raise ImageUnreachable("Label Studio points to a storage whose address cannot be used") from None
        return storage.image(parts, limits)

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
            received = read_body(answer, most, "Label Studio") if answer.status == 200 else b""
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


class _Storage(LabelStudioInstance):
    """The storage of a task's image. It gets no token, because the URL from Label Studio is signed."""

    def __init__(
        self, url: str, label_studio: SplitResult, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(url, NoToken(), max_bytes=max_bytes, clock=clock)
        self._label_studio = label_studio

    def image(self, url: SplitResult, limits: Limits) -> bytes:
        """Fetch the image at `url`, which is on this storage.

        Raises:
            ImageUnreachable: the storage refuses, is unreachable or slow, or its address is not allowed.
            ImageTooLarge: the image is too large.
        """
        target = quote(f"{url.path or '/'}?{url.query}" if url.query else url.path, safe="%/?&=:;,@+$!*'()~[]") or "/"
        try:
            status, _, body = self._exchange(target, {}, most=self._max_bytes, limits=limits)
        except ImageUnreachable as error:
            raise ImageUnreachable(error.detail.replace("Label Studio", "the storage of the image")) from None
        if status != 200:
            raise ImageUnreachable(f"the storage of the image answers with status {status}")
        return body

    def _connection(self, limits: Limits) -> LimitedConnection:
        """Connect, and check the address of the other end. No name can then lead to another address later."""
        connection = super()._connection(limits)
        try:
            connection.connect()
            storage = connection.sock.getpeername()[0]
            allowed = is_allowed(storage, lambda: _addresses(self._label_studio))
        except TimeoutError:
            connection.close()
            raise ImageUnreachable("Label Studio does not answer in time") from None
        except (OSError, HTTPException) as error:
            connection.close()
            raise ImageUnreachable(f"Label Studio cannot be reached: {error or type(error).__name__}") from None
        if not allowed:
            connection.close()
            raise ImageUnreachable(f"Label Studio points to an address that is not allowed: {storage}")
        return connection


def _addresses(url: SplitResult) -> list[str]:
    """Return the addresses of the host in `url`."""
    return [str(found[4][0]) for found in socket.getaddrinfo(url.hostname, None, type=socket.SOCK_STREAM)]


def _is_under(name: SplitResult, path: str) -> bool:
    """Return whether `path` begins with the path under which Label Studio is served at `name`."""
    return bool(name.path) and path.startswith(f"{name.path}/")


def _configured(url: str, setting: str = "SAM_LABEL_STUDIO_URL") -> SplitResult:
    try:
        parts = urlsplit(url.rstrip("/"))
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username is not None or parts.query or parts.fragment or not _PLAIN.fullmatch(url):
        raise ConfigurationError(f"{setting}={url!r} is not an address like https://labels.example.org")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _reason(status: int) -> str:
    if status in (401, 403):
        return "Label Studio does not show the image to the user of SAM_LABEL_STUDIO_TOKEN"
    if status == 404:
        return "Label Studio has no such image"
    return f"Label Studio answers with status {status}"
