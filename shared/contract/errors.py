"""All errors that the service reports to a client or an operator, as one tree that does not depend on HTTP.

    SamCacheError
    ├── RequestError                      the caller can fix it
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
    │   └── RateLimited                   rate-limited
    ├── DamagedEmbedding                  damaged-embedding
    └── StartupError                      the operator must act before the process can start
        ├── ConfigurationError            configuration-error
        └── WeightsError                  weights-error

`code` is part of the public contract: its meaning never changes. The message may change.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SamCacheError(Exception):
    """Base of the tree.

    Attributes:
        code: stable, kebab-case identifier.
        detail: one sentence for a person.
        retry_after: seconds after which trying again makes sense, or None.
        extra: JSON-serialisable members that help a program (limits, positions in the request).
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
    """The upload has no body or no declared length."""

    code = "length-required"


class ImageTooLarge(RequestError):
    """The image has more bytes or more pixels than this service accepts."""

    code = "image-too-large"


class RequestTooLarge(RequestError):
    """The prompt request is larger than this service accepts."""

    code = "request-too-large"


class AnswerTooLarge(RequestError):
    """The masks that the request asks for take more bytes than one answer of this service may have."""

    code = "answer-too-large"


class UnsupportedImage(RequestError):
    """The image is not a still picture of a format that this service reads."""

    code = "unsupported-image"


class InvalidImage(RequestError):
    """The upload claims to be a supported image but cannot be decoded."""

    code = "invalid-image"


class InvalidPrompt(RequestError):
    """The mask decoder cannot use the prompt."""

    code = "invalid-prompt"


class InvalidParameter(RequestError):
    """A query parameter is outside its documented range."""

    code = "invalid-parameter"


class ImageNotFound(RequestError):
    """The service has no image with this id: it was never uploaded, was deleted, or its record expired."""

    code = "image-not-found"


class ModelNotFound(RequestError):
    """This service does not serve the model."""

    code = "model-not-found"


class JobNotFound(RequestError):
    """The service has no everything job of this name for the image: nobody asked for it, or it was forgotten."""

    code = "job-not-found"


class EmbeddingPending(RequestError):
    """The image is known but not encoded yet."""

    code = "embedding-pending"


class ImageExpired(RequestError):
    """The image is known, but its bytes and its embedding are gone. It must be uploaded again."""

    code = "image-expired"


class ImageUnreachable(RequestError):
    """This service cannot fetch an image that a URL or an annotation tool names, or the tool may not name it."""

    code = "image-unreachable"


class UrlNotAllowed(RequestError):
    """This service does not fetch images from where the URL leads."""

    code = "url-not-allowed"


class Unauthorized(RequestError):
    """The request has no token, or its token is not known to this service."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The token is known but does not allow this."""

    code = "forbidden"


class ForeignOrigin(RequestError):
    """A page of another origin, which is not allowed to, sent the request through a browser."""

    code = "foreign-origin"


class UnknownHost(RequestError):
    """The service does not answer under the name that the request's `Host` header has."""

    code = "unknown-host"


class NotServed(RequestError):
    """The tool's own server has this feature; this service does not."""

    code = "not-served"


class EncodeFailed(SamCacheError):
    """The worker gave up on the image."""

    code = "encode-failed"


class EverythingFailed(SamCacheError):
    """The mask worker gave up on finding every mask of the image."""

    code = "everything-failed"


class Unavailable(SamCacheError):
    """Nothing is wrong with the request; the service cannot answer it now."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """Redis cannot be reached, refuses writes, or took too long."""

    code = "store-unavailable"


class Overloaded(Unavailable):
    """A limit on concurrent or queued work is reached."""

    code = "overloaded"


class RateLimited(Unavailable):
    """The client sent more requests than its rate limit allows."""

    code = "rate-limited"


class DamagedEmbedding(SamCacheError):
    """The stored bytes are not the embedding that their key promises. They are dropped and never decoded."""

    code = "damaged-embedding"


class StartupError(SamCacheError):
    """The process must not start."""

    code = "startup-error"


class ConfigurationError(StartupError):
    """A setting is missing, malformed or unsafe."""

    code = "configuration-error"


class WeightsError(StartupError):
    """Model weights are missing, damaged or cannot be fetched."""

    code = "weights-error"
