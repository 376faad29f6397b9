"""The tokens of annotation tools that cannot send `Authorization`.

X-AnyLabeling sends its API key in the header `Token`. QuPath's SAM extension sends no header that a person could set,
and its HTTP client refuses a user and password in an address. So a token may stand in the path:
`/samapi/with-token/TOKEN/sam/`. It is taken out of the path before anything is logged.
"""

from __future__ import annotations

import re

_X_ANYLABELING = "/x-anylabeling/"
_WITH_TOKEN = re.compile(r"/+samapi/+with-token/+([^/]*)(.*)", re.DOTALL)


def authorization(path: str, header: str | None, token_header: str | None) -> str | None:
    """Return the credentials of a request in the form of an `Authorization` header, or None if it has none.

    Args:
        path: the path of the request, percent-decoded.
        header: its `Authorization`, which comes first.
        token_header: its `Token`, which counts only for X-AnyLabeling.
    """
    if header is not None:
        return header
    _, token = without_token(path)
    if token is None and path.startswith(_X_ANYLABELING):
        token = token_header
    return f"Bearer {token}" if token else None


def without_token(path: str) -> tuple[str, str | None]:
    """Return the path without the token that stands in it, and the token; or the path as it is, and None."""
    found = _WITH_TOKEN.fullmatch(path)
    return (path, None) if found is None else (f"/samapi{found[2]}", found[1])
