"""Recognizes that a temporary file could not be written: the folder is full, or there are too many open files."""

from __future__ import annotations

import errno

from shared.contract.errors import Overloaded

RETRY_AFTER = 2.0

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})


def is_no_room(error: BaseException) -> bool:
    """Return whether `error` says that there is no room for a file. This passes when other requests have ended."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def overloaded(what: str) -> Overloaded:
    """Return the error that a client gets because there was no room for `what`."""
    return Overloaded(f"the service has no room for {what} now", retry_after=RETRY_AFTER)
