"""The file descriptors of this process: how many it may have, and how many connections that allows."""

from __future__ import annotations

import errno
import logging
import resource

CONNECTIONS = 2000
"""Most open connections per process, if it may have the descriptors for them. Further ones wait in the backlog."""

PER_CONNECTION = 3
"""Most descriptors of one connection: its socket, the file of a large body, the file of a large answer."""

OTHERS = 256
"""Descriptors for everything else: connections to Redis, modules, weights, log files."""

FEWEST = 16

SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Why the kernel gives out no further descriptor for now."""

_log = logging.getLogger(__name__)


def connections_allowed() -> int:
    """Raise the soft limit of descriptors as far as it is needed and allowed. Return the most open connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS * PER_CONNECTION + OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError) as error:
            _log.warning("the limit of open files stays at %d: %s", soft, error)
    allowed = connections_for(None if soft == resource.RLIM_INFINITY else soft)
    if allowed < CONNECTIONS:
        _log.warning("at most %d connections at once, because this process may open only %d files", allowed, soft)
    return allowed


def connections_for(descriptors: int | None) -> int:
    """Return the most connections for that many descriptors; None means without limit."""
    if descriptors is None:
        return CONNECTIONS
    return max(FEWEST, min(CONNECTIONS, (descriptors - OTHERS) // PER_CONNECTION))
