"""A layer: the hooks of one concern that surrounds every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@dataclass(frozen=True, slots=True)
class Layer:
    """Hooks around a request. A hook that is None does nothing.

    Attributes:
        wrap: puts a WSGI application around the whole application.
        enter: runs before the route. If it returns an answer, the layers further in and the route do not run.
        leave: runs after the route with its answer, and returns the answer to send. It also runs for an error.
        end: runs when the request is over, also if `enter` or the route failed.
    """

    wrap: Callable[[WSGIApplication], WSGIApplication] | None = None
    enter: Callable[[], Response | None] | None = None
    leave: Callable[[Response], Response] | None = None
    end: Callable[[BaseException | None], None] | None = None
