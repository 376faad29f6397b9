"""The request parser of waitress, with limits that it lacks and the arrival times of each request."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error

from prompt_api.serving.body_budget import BodyBudget
from prompt_api.wire import no_room
from prompt_api.wire.problems import STATUS
from shared.contract.errors import SamCacheError

CHUNKING_OVERHEAD = 64 * 1024
"""A chunked body may have this many bytes of sizes, extensions and trailers more than it has bytes of content."""

Admit = Callable[[str, Mapping[str, str]], None]
"""Takes the path and the headers of a request with a body. The headers are named as in WSGI. It raises a
`SamCacheError` to refuse the body."""


class Refusal(Error):  # type: ignore[misc]  # waitress is untyped
    """One of the service's own errors, as an error of waitress.

    Attributes:
        problem: the error.
    """

    def __init__(self, problem: SamCacheError) -> None:
        super().__init__(problem.detail)
        self.code = STATUS[type(problem)]
        self.reason = HTTPStatus(self.code).phrase
        self.problem = problem


class BoundedParser(HTTPRequestParser):  # type: ignore[misc]  # waitress is untyped
    """A parser that refuses four kinds of request before it reads the whole body.

    It refuses a body that is not admitted, a body for which there is no room (in the budget or in the folder of
    temporary files), a chunked body that is mostly chunking, and a Content-Length with too many digits.

    Chunking is limited because waitress searches an unfinished line of sizes or trailers from its start whenever more
    of it arrives. A line of 32 MB would keep its loop, which serves every connection, busy for a minute.

    Attributes:
        began: when the first byte arrived, from `time.perf_counter`.
        arrived: when the last byte arrived.
    """

    completed: bool

    def __init__(self, adjustments: Adjustments, budget: BodyBudget, admit: Admit) -> None:
        super().__init__(adjustments)
        self.began = self.arrived = time.perf_counter()  # `arrived` is set again with the last byte
        self._admit = admit
        self._admitted = False
        self._share = budget.share()
        self._closed = False

    def received(self, data: bytes) -> int:
        if self._closed:  # the connection broke while the 100 Continue was sent
            return len(data)
        try:
            consumed = int(super().received(data))
        except OSError:  # the body is too large for memory, and its file cannot be written
            self._refuse(Refusal(no_room.overloaded("the body of the request")))
            return len(data)
        if self.body_rcv is not None and not self.completed:
            try:
                self._bound()
            except SamCacheError as problem:
                self._refuse(Refusal(problem))
        if self.completed:
            self.arrived = time.perf_counter()
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:  # Python does not parse numbers of thousands of digits
            raise ParsingError("Content-Length is invalid") from None

    def close(self) -> None:
        """Release the body: the request was answered, or it never will be."""
        self._closed = True
        with contextlib.suppress(OSError):  # closing a file writes what its buffer still holds
            super().close()
        self._share.release()

    def _bound(self) -> None:
        if not self._admitted:
            self._admit(self.path, self.headers)
            self._share.announce(self.content_length)
            self._admitted = True
        self._share.hold(self.body_bytes_received)
        if not self.chunked:
            return
        content = len(self.body_rcv)
        if self.body_bytes_received - content > content + CHUNKING_OVERHEAD:
            self._refuse(BadRequest("the body has more chunking than content"))

    def _refuse(self, error: Error) -> None:
        self.error = error
        self.completed = True
        self.expect_continue = False  # otherwise waitress would send 100 Continue
        self.close()  # gives the room of the body to others before the refusal is sent
