"""What a client raises: the service's own errors by their `code`, and what only a client can meet.

SamCacheError                         `code`, `detail`, `retry_after`, `extra`
├── RequestError, EncodeFailed, …     as `shared.contract.errors` draws them: the service named one of these
├── Unavailable
│   └── ServiceUnreachable            service-unreachable: no answer at all, or none in time
│       └── ConnectionDropped         service-unreachable: the connection broke on the way
└── UnexpectedAnswer                  unexpected-answer: a problem of another kind, or no answer of the contract
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from shared.contract.errors import SamCacheError, StartupError, Unavailable


class ServiceUnreachable(Unavailable):
    """Nothing answered under the service's URL, or not in time."""

    code = "service-unreachable"


class ConnectionDropped(ServiceUnreachable):
    """The connection was there and broke before the answer: what happens to one kept open for too long."""


class UnexpectedAnswer(SamCacheError):
    """An answer that the contract does not know: a fault of the service, a proxy's own page, another service.

    `extra` has `status`, and `code` if the answer named one.
    """

    code = "unexpected-answer"


def _tree(kind: type[SamCacheError]) -> Iterator[type[SamCacheError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


SERVICE_ERRORS: Mapping[str, type[SamCacheError]] = MappingProxyType(
    {kind.code: kind for kind in _tree(SamCacheError) if not issubclass(kind, StartupError | ServiceUnreachable)}
)
"""Every error that the service may name, by its code."""
