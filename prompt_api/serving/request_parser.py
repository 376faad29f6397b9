"""waitress's parser of requests, with the bounds it lacks and a look at the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error

from prompt_api.serving.body_budget import BodyBudget
from prompt_api.wire.problems import STATUS
from shared.contract.errors import SamCacheError

CHUNKING_OVERHEAD = 64 * 1024
"""Bytes of sizes, extensions and trailers that a chunked body may have, and as many again as it has content."""

Admit = Callable[[Mapping[str, str]], None]
"""Told the headers of a request with a body, named as in WSGI; raises a `SamCacheError` if that is not to be read."""


class Refusal(Error):  # type: ignore[misc]  # waitress is untyped
    """One of the service's own errors, in the shape that waitress answers with.

    Attributes:
        problem: the error.
    """

    def __init__(self, problem: SamCacheError) -> None:
        super().__init__(problem.detail)
        self.code = STATUS[type(problem)]
        self.reason = HTTPStatus(self.code).phrase
        self.problem = problem


class BoundedParser(HTTPRequestParser):  # type: ignore[misc]  # waitress is untyped
    """Refuses a body unread that is not admitted or for which there is no room, a chunked one that is mostly chunking,
    and a Content-Length too long to be read as a number.

    waitress searches an unfinished line of sizes or trailers from its start whenever more of it arrives: a
    line of 32 MB would keep its loop, which serves every connection, busy for a minute.

    Attributes:
        began: when the first byte came, as `time.perf_counter` counts.
        arrived: when the last one had come.
    """

    completed: bool

    def __init__(self, adjustments: Adjustments, budget: BodyBudget, admit: Admit) -> None:
        super().__init__(adjustments)
        self.began = self.arrived = time.perf_counter()  # of the first byte, and of the last
        self._admit = admit
        self._admitted = False
        self._share = budget.share()
        self._closed = False

    def received(self, data: bytes) -> int:
        if self._closed:  # the connection broke while the client was told to go on
            return len(data)
        consumed = int(super().received(data))
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
        except ValueError:  # Python refuses to read numbers of thousands of digits
            raise ParsingError("Content-Length is invalid") from None

    def close(self) -> None:
        """Let the body go: the request was answered, or never will be."""
        self._closed = True
        super().close()
        self._share.release()

    def _bound(self) -> None:
        if not self._admitted:
            self._admit(self.headers)
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
        self.expect_continue = False  # or the client would be told to go on
        self.close()  # what has come of the body leaves its room to others before this is answered
