"""The door for images by URL: `https://` on allowed hosts, and `s3://` of allowed buckets.

A URL comes from a client, so it must not make this service send requests to other machines. The name must be on the
operator's list. It is looked up once, every address that it has must be public, and the connection goes to one of these
addresses: no name can lead elsewhere between the check and the connection. Each redirect obeys the same rules.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from prompt_api.remote_images.addresses import is_no_trap, is_public
from prompt_api.remote_images.allowed import HTTPS_PORT, AllowedPlaces
from prompt_api.remote_images.exchange import LimitedConnection, Limits, read_body
from prompt_api.remote_images.names import Names
from prompt_api.remote_images.s3 import S3
from prompt_api.remote_images.turns import FetchTurns
from shared.contract.errors import ImageUnreachable, UrlNotAllowed

FETCH_SECONDS = 15.0
"""Longest fetch of one image in seconds: everything, with look-ups and redirects, however slowly it comes."""

IDLE_SECONDS = 5.0
"""Longest wait for a name server, a connection or the next bytes, in seconds."""

FETCHES = 4
"""Most images that one process fetches and holds in memory at once."""

TURN_SECONDS = 5.0
"""Seconds a fetch waits for its turn before it is refused."""

MAX_REDIRECTS = 3
MAX_URL = 2048
"""Most characters of a URL."""

_TREACHEROUS = re.compile(r"[\x00-\x20\x7f\\]")
"""Control characters and blanks, which URL parsers drop silently, and the backslash, which some take for a slash."""

_S3 = re.compile(r"s3://", re.IGNORECASE)

Fetch = Callable[[Callable[[], None]], bytes]
"""Fetches an image. It takes a function to ask several times a second, which raises an error to end the fetch."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    """One HTTP resource.

    Attributes:
        tls: whether to speak TLS.
        host: in lower case.
        target: path and query as the request line has them.
        is_allowed: whether a request may go to an address.
    """

    tls: bool
    host: str
    port: int
    target: str
    is_allowed: Callable[[str], bool]


class RemoteImages:
    """Fetches images by URL. Thread-safe. It keeps no connection open."""

    def __init__(
        self,
        allowed: AllowedPlaces,
        *,
        max_bytes: int,
        s3: S3 | None = None,
        only_for: str | None = None,
        names: Names | None = None,
        is_public: Callable[[str], bool] = is_public,
        tls: ssl.SSLContext | None = None,
        seconds: float = FETCH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Args:
        allowed: where images may come from.
        max_bytes: most bytes of an image.
        s3: reads the buckets; None if there are none.
        only_for: the only namespace that may have images fetched; None allows all.
        names: looks names up.
        is_public: whether a client's URL may lead to an address. Tests allow one of this machine.
        tls: verifies certificates; None trusts the system's authorities.
        seconds: longest fetch.
        clock: returns monotonic seconds.
        now: the time of a signature.
        """
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._s3 = s3
        self._only_for = only_for
        self._names = names or Names()
        self._is_public = is_public
        self._tls = tls or ssl.create_default_context()
        self._seconds = seconds
        self._clock = clock
        self._now = now
        self._turns = FetchTurns(FETCHES)

    def fetch(self, reference: str, namespace: str = "") -> bytes:
        """Fetch the image at `reference` when it is its turn.

        Args:
            namespace: that of the client.

        Raises:
            UrlNotAllowed: this service does not fetch from there, or not for that namespace.
            ImageUnreachable: the host refuses, has no such file, is unreachable or slow.
            ImageTooLarge: the image has more than `max_bytes`.
            Overloaded: too many images are being fetched.
        """
        with self.fetched(reference, namespace) as data:
            return data

    @contextmanager
    def fetched(self, reference: str, namespace: str = "") -> Iterator[bytes]:
        """Fetch as `fetch` does, and hold the turn inside the block, so that few fetched images are in memory."""
        source = self.source(reference, namespace)
        with self._turns.take(TURN_SECONDS) as turn:
            yield source(turn.check)

    def serves(self, reference: str, namespace: str = "") -> bool:
        """Return whether `reference` is a URL on an allowed host or in an allowed bucket, for that namespace."""
        try:
            self.source(reference, namespace)
        except UrlNotAllowed:
            return False
        return True

    def source(self, reference: str, namespace: str) -> Fetch:
        """Return the function that fetches the image. It raises as `fetch` does, but takes no turn.

        Raises:
            UrlNotAllowed: this service does not fetch from there, or not for that namespace.
        """
        if not (self._allowed.hosts or self._allowed.buckets):
            raise UrlNotAllowed("this service fetches no images by URL: SAM_IMAGE_HOSTS is empty")
        if self._only_for not in (None, namespace):
            raise UrlNotAllowed("this service fetches images by URL for another namespace only")
        self._opened(reference)
        return partial(self._fetch, reference)

    def _opened(self, reference: str) -> _Place:
        """Return where the image is.

        Raises:
            UrlNotAllowed: this service does not fetch from there.
        """
        if len(reference) > MAX_URL:
            raise UrlNotAllowed(f"a URL has at most {MAX_URL} characters")
        return self._in_bucket(reference) if _S3.match(reference) else self._on_host(reference)

    def _fetch(self, reference: str, may_go_on: Callable[[], None]) -> bytes:
        limits = Limits(self._clock() + self._seconds, IDLE_SECONDS, may_go_on=may_go_on, clock=self._clock)
        place = self._opened(reference)
        for _ in range(1 + MAX_REDIRECTS):
            status, location, body = self._exchange(place, limits)
            if status == 200:
                _log.info("fetched an image of %d bytes from %s", len(body), place.host)
                return body
            if status not in (301, 302, 303, 307, 308) or not location or _S3.match(reference):
                raise ImageUnreachable(_reason(place.host, status))
            try:
                place = self._on_host(urljoin(f"https://{place.host}:{place.port}{place.target}", location))
            except ValueError:
                raise UrlNotAllowed(f"{place.host} redirects to what is not a URL") from None
        raise ImageUnreachable(f"{place.host} redirects more than {MAX_REDIRECTS} times")

    def _on_host(self, url: str) -> _Place:
        """Return the place of an `https` URL on an allowed host.

        Raises:
            UrlNotAllowed: it is something else.
        """
        if _TREACHEROUS.search(url) or not url.isascii():
            raise UrlNotAllowed("a URL has no blanks, control characters, backslashes or letters beyond ASCII")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or HTTPS_PORT
        except ValueError:
            raise UrlNotAllowed("that is not a URL") from None
        if parts.scheme != "https":
            raise UrlNotAllowed("images are fetched from https:// and s3:// only")
        if "@" in parts.netloc:
            raise UrlNotAllowed("a URL may have no user and no password")
        if (host, port) not in self._allowed.hosts or parts.port == 0:
            raise UrlNotAllowed(f"{host[:100]!r} is not a host of SAM_IMAGE_HOSTS")
        return _Place(True, host, port, _target(parts), self._is_public)

    def _in_bucket(self, uri: str) -> _Place:
        """Return the signed place of an object in an allowed bucket. Its key is taken as it stands.

        Raises:
            UrlNotAllowed: the bucket is not allowed, or the key is malformed.
        """
        bucket, _, key = uri[len("s3://") :].partition("/")
        if self._s3 is None or bucket not in self._allowed.buckets:
            raise UrlNotAllowed(f"{bucket[:100]!r} is not a bucket of SAM_IMAGE_HOSTS")
        try:
            address = self._s3.address(bucket, key, self._now())
        except UnicodeEncodeError:
            raise UrlNotAllowed("the key of an object is text") from None
        tls = address.scheme == "https"
        # Only the operator can have named another endpoint than Amazon's, and may have one on a private network.
        is_allowed = self._is_public if self._s3.endpoint is None else is_no_trap
        port = address.port or (HTTPS_PORT if tls else 80)
        return _Place(tls, address.hostname or "", port, _target(address), is_allowed)

    def _exchange(self, place: _Place, limits: Limits) -> tuple[int, str | None, bytes]:
        """Send a GET. Return (status, `Location`, body of a 200)."""
        addresses = partial(self._checked, place, limits)
        connection = LimitedConnection(
            place.host, place.port, limits, self._tls if place.tls else None, addresses=addresses
        )
        try:
            connection.request("GET", place.target, headers={"Accept-Encoding": "identity"})
            with connection.getresponse() as answer:
                body = read_body(answer, self._max_bytes, place.host) if answer.status == 200 else b""
                return answer.status, answer.headers.get("Location"), body
        except TimeoutError:
            raise ImageUnreachable(f"{place.host} does not answer in time") from None
        except ssl.SSLCertVerificationError:
            raise ImageUnreachable(f"the certificate of {place.host} is not trusted") from None
        except (OSError, HTTPException) as error:
            # The details of an error would tell a client about the network of this service.
            _log.info("%s cannot be reached: %s: %s", place.host, type(error).__name__, error)
            raise ImageUnreachable(f"{place.host} cannot be reached") from None
        finally:
            connection.close()

    def _checked(self, place: _Place, limits: Limits) -> Sequence[str]:
        """Return the addresses of the host, if a request may go to all of them.

        Raises:
            UrlNotAllowed: it may not.
            TimeoutError, OSError: the name cannot be looked up.
        """
        found = self._names.addresses(place.host, limits.left())
        if not found:
            raise OSError("the name has no address")
        if not all(map(place.is_allowed, found)):
            _log.warning("%s has an address to which no request may go: %s", place.host, ", ".join(found))
            raise UrlNotAllowed(f"{place.host} leads to an address that is not public")
        return found


def _target(parts: SplitResult) -> str:
    """Return path and query for the request line. What is escaped stays, what should be is."""
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return quote(target, safe="%/?&=:;,@+$!*'()~[]")


def _reason(host: str, status: int) -> str:
    if status in (401, 403):
        return f"{host} does not give the image to this service (status {status})"
    if status == 404:
        return f"{host} has no such image"
    return f"{host} answers with status {status}"
