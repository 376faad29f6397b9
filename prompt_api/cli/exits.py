"""What the exit status of `samcache` says."""

from __future__ import annotations

from enum import IntEnum

from shared.contract.errors import SamCacheError, Unavailable


class Exit(IntEnum):
    """Exit status."""

    OK = 0
    FAILED = 1  # the service refused something, or a file could not be read or written
    USAGE = 2  # the command line makes no sense; argparse's own number
    UNAVAILABLE = 3  # the service is out of reach, not ready, or overloaded
    INTERRUPTED = 130  # Ctrl-C, as shells count it


def exit_of(error: SamCacheError) -> Exit:
    """The status for an error that ends the command."""
    return Exit.UNAVAILABLE if isinstance(error, Unavailable) else Exit.FAILED
