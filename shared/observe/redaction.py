"""Removes secrets from log messages.

The project itself does not log headers, query strings or other text that is known to hold secrets. Redaction covers
text from elsewhere, such as an exception that quotes a URL, or a library at level DEBUG.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote, urlsplit

from shared.contract.settings import Settings

HIDDEN = "***"

_SHORTEST = 6
"""Shortest secret of the settings, in characters, that is searched for. A shorter one would match ordinary words."""

# No alternative may begin with a repetition: on a long word that would take quadratic time.
_TELLTALE = r"""
      (?<=://)[^\s/]+(?=@)                                             # user and password in a URL
    | \bsamtok_[\w-]+                                                  # a token of this service
    | (?P<header>authorization["']?\s*[:=]\s*["']?)(?:\w+\s+)?[^\s"',;}]+
    | (?P<scheme>\b(?:bearer|basic|token)\s+)[\w.~+/=-]{16,}           # the value of that header
    | (?P<name>(?:token|secret|password|passwd|api_?key|signature|credential)s?=)[^&\s"'}]+
"""


def redaction(settings: Settings) -> Callable[[str], str]:
    """Return a function that hides in a text the secrets of `settings`, and anything that looks like a secret."""
    known = "|".join(map(re.escape, sorted(_secrets(settings), key=len, reverse=True)))
    pattern = re.compile(f"{_TELLTALE} | {known}" if known else _TELLTALE, re.VERBOSE | re.IGNORECASE)

    def hide(found: re.Match[str]) -> str:
        return (found["header"] or found["scheme"] or found["name"] or "") + HIDDEN

    return lambda text: pattern.sub(hide, text)


def _secrets(settings: Settings) -> set[str]:
    candidates = {settings.label_studio_token, *_passwords((settings.cache_url, settings.queue_url))}
    return {secret for secret in candidates if len(secret) >= _SHORTEST}


def _passwords(urls: Iterable[str]) -> Iterable[str]:
    for url in urls:
        try:
            password = urlsplit(url).password or ""
        except ValueError:  # not a URL; the code that connects reports it
            continue
        yield from (password, unquote(password))
