"""Addresses of objects in S3, signed so that they can be fetched without any other header.

The signature is AWS Signature Version 4 in the query, as AWS documents it: "Authenticating Requests: Using Query
Parameters", Amazon S3 API Reference.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import SplitResult, quote, urlsplit

from shared.contract.errors import ConfigurationError, UrlNotAllowed

VALID_SECONDS = 60
"""Seconds for which a signed address works. A fetch begins at once."""

UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_UNRESERVED = "-_.~"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Attributes:
    session_token: goes with temporary credentials; empty for those of a user.
    """

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r}, …)"


@dataclass(frozen=True, slots=True)
class S3:
    """Where S3 answers, and who asks.

    Attributes:
        endpoint: address of a service with S3's interface, or None for Amazon's own.
    """

    credentials: Credentials
    region: str
    endpoint: SplitResult | None = None

    def address(self, bucket: str, key: str, now: datetime) -> SplitResult:
        """Return the signed address of an object. It works for `VALID_SECONDS` from `now`.

        Amazon is asked under the bucket's own name, unless that has dots, for which there is no certificate.

        Raises:
            UrlNotAllowed: the key has segments that a server could take for steps out of the bucket.
        """
        if not key or any(segment in (".", "..") for segment in key.split("/")):
            raise UrlNotAllowed("the key of an object may not be empty, and has no segments `.` and `..`")
        scheme, base = "https", ""
        if self.endpoint is not None:
            scheme, host = self.endpoint.scheme, self.endpoint.netloc.lower()
            base = f"{self.endpoint.path.rstrip('/')}/{bucket}"
        else:
            domain = f"s3.{self.region}.amazonaws.com" + (".cn" if self.region.startswith("cn-") else "")
            host, base = (domain, f"/{bucket}") if "." in bucket else (f"{bucket}.{domain}", "")
        path = f"{base}/{quote(key, safe=f'/{_UNRESERVED}')}"
        query = presigned_query(self.credentials, self.region, host=host, path=path, now=now, seconds=VALID_SECONDS)
        return SplitResult(scheme, host, path, query, "")


def s3_from(environ: Mapping[str, str]) -> S3:
    """Return what the usual variables say: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
    `AWS_REGION` or `AWS_DEFAULT_REGION` (otherwise `us-east-1`), `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.

    Raises:
        ConfigurationError: there are no credentials, or a variable is malformed.
    """

    def first(*names: str) -> str:
        return next((environ[name].strip() for name in names if environ.get(name, "").strip()), "")

    access_key, secret_key = first("AWS_ACCESS_KEY_ID"), first("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        raise ConfigurationError(
            "SAM_IMAGE_HOSTS names a bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with which it is read"
        )
    region = first("AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1"
    if not _REGION.fullmatch(region):
        raise ConfigurationError(f"AWS_REGION={region!r} is not a region like eu-central-1")
    text = first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = _endpoint(text) if text else None
    return S3(Credentials(access_key, secret_key, first("AWS_SESSION_TOKEN")), region, endpoint)


def presigned_query(credentials: Credentials, region: str, *, host: str, path: str, now: datetime, seconds: int) -> str:
    """Return the query that lets anybody GET an object for a while.

    Args:
        host: as the request's `Host` header has it.
        path: as the request line has it, already escaped.
        now: with a time zone.
    """
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    values = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{moment[:8]}/{region}/s3/aws4_request",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        values["X-Amz-Security-Token"] = credentials.session_token
    query = "&".join(f"{name}={quote(values[name], safe=_UNRESERVED)}" for name in sorted(values))
    signed = signature(credentials.secret_key, region, moment, path=path, query=query, headers={"host": host})
    return f"{query}&X-Amz-Signature={signed}"


def signature(
    secret_key: str,
    region: str,
    moment: str,
    *,
    path: str,
    query: str,
    headers: Mapping[str, str],
    payload: str = UNSIGNED,
) -> str:
    """Return the signature of a GET request to S3 as 64 hex digits.

    Args:
        moment: the time as `YYYYMMDDTHHMMSSZ`.
        query: escaped, in the order of its names.
        headers: the signed headers, by their names in lower case.
        payload: hex SHA-256 of the body, or `UNSIGNED`.
    """
    names = sorted(headers)
    lines = [*(f"{name}:{headers[name].strip()}" for name in names), "", ";".join(names), payload]
    request = "\n".join(["GET", path, query, *lines])
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _endpoint(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username is not None or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", text):
        raise ConfigurationError(f"AWS_ENDPOINT_URL_S3={text!r} is not an address like https://minio.example.org")
    return parts
