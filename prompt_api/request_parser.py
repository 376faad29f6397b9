"""waitress's parser of requests, with the bounds it lacks and a look at the clock."""

from __future__ import annotations

import time

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest

CHUNKING_OVERHEAD = 64 * 1024
"""Bytes of sizes, extensions and trailers that a chunked body may have, and as many again as it has content."""


class BoundedParser(HTTPRequestParser):  # type: ignore[misc]  # waitress is untyped
    """Refuses a chunked body that is mostly chunking, and a Content-Length too long to be read as a number.

    waitress searches an unfinished line of sizes or trailers from its start whenever more of it arrives: a
    line of 32 MB would keep its loop, which serves every connection, busy for a minute.

    Attributes:
        began: when the first byte came, as `time.perf_counter` counts.
        arrived: when the last one had come.
    """

    completed: bool

    def __init__(self, adjustments: Adjustments) -> None:
        super().__init__(adjustments)
        self.began = self.arrived = time.perf_counter()  # of the first byte, and of the last

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data))
        if self.chunked and self.body_rcv is not None and not self.completed:
            content = len(self.body_rcv)
            if self.body_bytes_received - content > content + CHUNKING_OVERHEAD:
                self.error = BadRequest("the body has more chunking than content")
                self.completed = True
        if self.completed:
            self.arrived = time.perf_counter()
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:  # Python refuses to read numbers of thousands of digits
            raise ParsingError("Content-Length is invalid") from None
