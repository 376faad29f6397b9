"""What each exit status of `samcache` means."""

from __future__ import annotations

from enum import IntEnum

from samcache.errors import SamCacheError, Unavailable


class Exit(IntEnum):
    """The exit status."""

    OK = 0
    FAILED = 1  # the service refused something, or a file could not be read or written
    USAGE = 2  # the command line is invalid; argparse uses this number
    UNAVAILABLE = 3  # the service cannot be reached, is not ready, or is overloaded
    INTERRUPTED = 130  # Ctrl-C; shells use this number


def exit_of(error: SamCacheError) -> Exit:
    """The status for an error that ends the command."""
    return Exit.UNAVAILABLE if isinstance(error, Unavailable) else Exit.FAILED
