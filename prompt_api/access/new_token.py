"""`python -m prompt_api.access.new_token NAMESPACE`: make a token, and the entry of `SAM_TOKENS` that admits it."""

from __future__ import annotations

import argparse
import secrets
import sys

from prompt_api.access.grants import NAMESPACE_RULE, Grant, digest_of, is_namespace
from prompt_api.access.scopes import Scope

PREFIX = "samtok_"
"""People, and programs that look for leaked secrets, recognise a token by this."""

_BYTES = 32


def new_token() -> str:
    """A token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def main() -> int:
    """Print a new token and its entry. The exit status is 2 if the namespace is malformed."""
    parser = argparse.ArgumentParser(prog="python -m prompt_api.access.new_token", description="Make a token.")
    parser.add_argument("namespace", type=_namespace, help="whose images it sees: 1 to 32 of a-z, 0-9, - and _")
    parser.add_argument(
        "--scopes", choices=("read", "write", "read+write"), default="read+write", help="default: read+write"
    )
    options = parser.parse_args()
    token = new_token()
    entry = Grant(options.namespace, frozenset(map(Scope, options.scopes.split("+"))), digest_of(token)).entry
    sys.stdout.write(
        f"The token, for the client; it is shown this once and kept nowhere:\n\n    {token}\n\n"
        f"Its entry in SAM_TOKENS, for the API (several: comma-separated):\n\n    {entry}\n"
    )
    return 0


def _namespace(text: str) -> str:
    if not is_namespace(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no namespace: {NAMESPACE_RULE}")
    return text


if __name__ == "__main__":
    sys.exit(main())
