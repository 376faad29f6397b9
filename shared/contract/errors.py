"""Every error the service can tell a client or an operator, as one tree that knows nothing of HTTP.

    SamCacheError
    ├── RequestError                      the caller can mend it
    │   ├── LengthRequired                length-required
    │   ├── ImageTooLarge                 image-too-large
    │   ├── RequestTooLarge               request-too-large
    │   ├── UnsupportedImage              unsupported-image
    │   ├── InvalidImage                  invalid-image
    │   ├── InvalidPrompt                 invalid-prompt
    │   ├── InvalidParameter              invalid-parameter
    │   ├── ImageNotFound                 image-not-found
    │   ├── ModelNotFound                 model-not-found
    │   ├── EmbeddingPending              embedding-pending
    │   ├── ImageExpired                  image-expired
    │   ├── ImageUnreachable              image-unreachable
    │   ├── Unauthorized                  unauthorized
    │   └── Forbidden                     forbidden
    ├── EncodeFailed                      encode-failed
    ├── Unavailable                       try again later
    │   ├── StoreUnavailable              store-unavailable
    │   ├── Overloaded                    overloaded
    │   └── RateLimited                   rate-limited
    ├── DamagedEmbedding                  damaged-embedding
    └── StartupError                      the operator must act before the process can start
        ├── ConfigurationError            configuration-error
        └── WeightsError                  weights-error

`code` is part of the public contract: it never changes meaning, whatever the message says.
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
    """An upload without a body or a declared length."""

    code = "length-required"


class ImageTooLarge(RequestError):
    """More bytes or more pixels than this service accepts."""

    code = "image-too-large"


class RequestTooLarge(RequestError):
    """A prompt request larger than this service accepts."""

    code = "request-too-large"


class UnsupportedImage(RequestError):
    """Not a still JPEG, PNG or WEBP."""

    code = "unsupported-image"


class InvalidImage(RequestError):
    """Claims to be a supported image but cannot be decoded."""

    code = "invalid-image"


class InvalidPrompt(RequestError):
    """A prompt the mask decoder has no meaning for."""

    code = "invalid-prompt"


class InvalidParameter(RequestError):
    """A query parameter outside its documented range."""

    code = "invalid-parameter"


class ImageNotFound(RequestError):
    """No image of this id was uploaded here, or it was deleted or forgotten."""

    code = "image-not-found"


class ModelNotFound(RequestError):
    """A model that this service does not serve."""

    code = "model-not-found"


class EmbeddingPending(RequestError):
    """The image is known but not encoded yet."""

    code = "embedding-pending"


class ImageExpired(RequestError):
    """The image is known, its bytes and its embedding are gone: it must be uploaded again."""

    code = "image-expired"


class ImageUnreachable(RequestError):
    """An image that an annotation tool names, and this service may not or cannot fetch."""

    code = "image-unreachable"


class Unauthorized(RequestError):
    """The request has no token, or one that this service does not know."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The token is known but does not allow this."""

    code = "forbidden"


class EncodeFailed(SamCacheError):
    """The worker gave up on the image."""

    code = "encode-failed"


class Unavailable(SamCacheError):
    """Nothing is wrong with the request; the service cannot answer it now."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """Redis is out of reach, refuses writes, or took too long."""

    code = "store-unavailable"


class Overloaded(Unavailable):
    """A bound on concurrent or queued work is reached."""

    code = "overloaded"


class RateLimited(Unavailable):
    """This client asked for more than its share."""

    code = "rate-limited"


class DamagedEmbedding(SamCacheError):
    """Stored bytes that are not the embedding their key promises. Never decoded, always dropped."""

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
