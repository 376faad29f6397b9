"""waitress's parser of requests, with the bounds it lacks."""

from __future__ import annotations

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest

CHUNKING_OVERHEAD = 64 * 1024
"""Bytes of sizes, extensions and trailers that a chunked body may have, and as many again as it has content."""


class BoundedParser(HTTPRequestParser):  # type: ignore[misc]  # waitress is untyped
    """Refuses a chunked body that is mostly chunking, and a Content-Length too long to be read as a number.

    waitress searches an unfinished line of sizes or trailers from its start whenever more of it arrives: a
    line of 32 MB would keep its loop, which serves every connection, busy for a minute.
    """

    completed: bool

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data))
        if self.chunked and self.body_rcv is not None and not self.completed:
            content = len(self.body_rcv)
            if self.body_bytes_received - content > content + CHUNKING_OVERHEAD:
                self.error = BadRequest("the body has more chunking than content")
                self.completed = True
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:  # Python refuses to read numbers of thousands of digits
            raise ParsingError("Content-Length is invalid") from None
