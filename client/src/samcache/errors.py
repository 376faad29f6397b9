"""The errors that a client raises: those that the service names by their `code`, and two that only a client can meet.

SamCacheError
├── RequestError                      the caller can correct it
│   ├── LengthRequired                length-required
│   ├── ImageTooLarge                 image-too-large
│   ├── RequestTooLarge               request-too-large
│   ├── AnswerTooLarge                answer-too-large
│   ├── UnsupportedImage              unsupported-image
│   ├── InvalidImage                  invalid-image
│   ├── InvalidPrompt                 invalid-prompt
│   ├── InvalidParameter              invalid-parameter
│   ├── ImageNotFound                 image-not-found
│   ├── ModelNotFound                 model-not-found
│   ├── JobNotFound                   job-not-found
│   ├── EmbeddingPending              embedding-pending
│   ├── ImageExpired                  image-expired
│   ├── ImageUnreachable              image-unreachable
│   ├── UrlNotAllowed                 url-not-allowed
│   ├── Unauthorized                  unauthorized
│   ├── Forbidden                     forbidden
│   ├── ForeignOrigin                 foreign-origin
│   ├── UnknownHost                   unknown-host
│   └── NotServed                     not-served
├── EncodeFailed                      encode-failed
├── EverythingFailed                  everything-failed
├── Unavailable                       try again later
│   ├── StoreUnavailable              store-unavailable
│   ├── Overloaded                    overloaded
│   ├── RateLimited                   rate-limited
│   └── ServiceUnreachable            service-unreachable: no answer at all, or none in time
│       └── ConnectionDropped         service-unreachable: the connection broke before the answer was there
└── UnexpectedAnswer                  unexpected-answer: an answer that the contract does not know
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar


class SamCacheError(Exception):
    """Base of the tree.

    Attributes:
        code: the stable, kebab-case name of the error. The service's problem documents carry it.
        detail: one sentence for a person.
        retry_after: seconds after which trying again makes sense, or None.
        extra: further facts for a program, such as the limit that was exceeded.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, retry_after: float | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.extra = extra


class RequestError(SamCacheError):
    """The request cannot be served as it stands."""

    code = "bad-request"


class LengthRequired(RequestError):
    """The upload has no body, or does not declare its length."""

    code = "length-required"


class ImageTooLarge(RequestError):
    """The image has more bytes or more pixels than the service accepts."""

    code = "image-too-large"


class RequestTooLarge(RequestError):
    """The request with the prompts is larger than the service accepts."""

    code = "request-too-large"


class AnswerTooLarge(RequestError):
    """The masks take more bytes than one answer of the service may have. Send fewer prompts at once."""

    code = "answer-too-large"


class UnsupportedImage(RequestError):
    """The file is not an image of a format that the service takes."""

    code = "unsupported-image"


class InvalidImage(RequestError):
    """The file claims to be an image of a known format but cannot be decoded."""

    code = "invalid-image"


class InvalidPrompt(RequestError):
    """The service refuses the prompt as invalid."""

    code = "invalid-prompt"


class InvalidParameter(RequestError):
    """A query parameter is outside its documented range."""

    code = "invalid-parameter"


class ImageNotFound(RequestError):
    """The service has no image of this id."""

    code = "image-not-found"


class ModelNotFound(RequestError):
    """The service does not serve this model."""

    code = "model-not-found"


class JobNotFound(RequestError):
    """The service has no everything job of this name for the image."""

    code = "job-not-found"


class EmbeddingPending(RequestError):
    """The service knows the image but has not encoded it yet."""

    code = "embedding-pending"


class ImageExpired(RequestError):
    """The service knows the image but has dropped its bytes and its embedding: upload it again."""

    code = "image-expired"


class ImageUnreachable(RequestError):
    """The service cannot fetch an image that a URL or an annotation tool names, or the tool may not name it."""

    code = "image-unreachable"


class UrlNotAllowed(RequestError):
    """The service does not fetch images from where the URL leads."""

    code = "url-not-allowed"


class Unauthorized(RequestError):
    """The request has no token, or one that the service does not know."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The service knows the token, and the token does not allow this."""

    code = "forbidden"


class ForeignOrigin(RequestError):
    """The service takes the request for one of a foreign web page: it has an `Origin` that is not allowed."""

    code = "foreign-origin"


class UnknownHost(RequestError):
    """The service does not answer under the name in its URL."""

    code = "unknown-host"


class NotServed(RequestError):
    """An annotation tool asked for a feature of its own server that the service does not have."""

    code = "not-served"


class EncodeFailed(SamCacheError):
    """The worker gave up on the image."""

    code = "encode-failed"


class EverythingFailed(SamCacheError):
    """The service gave up on finding every mask of the image."""

    code = "everything-failed"


class Unavailable(SamCacheError):
    """Nothing is wrong with the request; the service cannot answer it now."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """The service cannot reach its Redis, or cannot write to it."""

    code = "store-unavailable"


class Overloaded(Unavailable):
    """The service has as much work as it allows."""

    code = "overloaded"


class RateLimited(Unavailable):
    """This client asked for more than its share."""

    code = "rate-limited"


class ServiceUnreachable(Unavailable):
    """Nothing answered under the service's URL, or not in time."""

    code = "service-unreachable"


class ConnectionDropped(ServiceUnreachable):
    """The connection was open and broke before the answer was there. Connections that are kept open for long do."""


class UnexpectedAnswer(SamCacheError):
    """The answer does not follow the contract: the service is broken, or something else answers under its URL.

    `extra` has `status`, and `code` if the answer named one.
    """

    code = "unexpected-answer"


def _tree(kind: type[SamCacheError]) -> Iterator[type[SamCacheError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


SERVICE_ERRORS: Mapping[str, type[SamCacheError]] = MappingProxyType(
    {kind.code: kind for kind in _tree(SamCacheError) if not issubclass(kind, ServiceUnreachable | UnexpectedAnswer)}
)
"""Every error that the service may name, by its code."""
