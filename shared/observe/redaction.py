"""Keeps secrets out of the log, should one find its way into a message.

Nothing is logged that is known to hold one: neither headers nor query strings. This is for what others say: an
exception that quotes a URL, a library at level DEBUG.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote, urlsplit

from shared.contract.settings import Settings

HIDDEN = "***"

_SHORTEST = 6
"""Characters of a secret that is looked for by itself. A shorter one would be found in innocent words."""

# No part may begin with a repetition: on a long word that would take the square of its length.
_TELLTALE = r"""
      (?<=://)[^\s/]+(?=@)                                             # user and password in a URL
    | \bsamtok_[\w-]+                                                  # a token of this service
    | (?P<header>authorization["']?\s*[:=]\s*["']?)(?:\w+\s+)?[^\s"',;}]+
    | (?P<scheme>\b(?:bearer|basic|token)\s+)[\w.~+/=-]{16,}           # the value of that header
    | (?P<name>(?:token|secret|password|passwd|api_?key|signature|credential)s?=)[^&\s"'}]+
"""


def redaction(settings: Settings) -> Callable[[str], str]:
    """What takes the secrets of `settings`, and whatever looks like one, out of a text."""
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
        except ValueError:  # no URL; whoever connects says so
            continue
        yield from (password, unquote(password))
