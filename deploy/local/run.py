"""`make run` (`python -m deploy.local.run`): run the service on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local.photo import PHOTO, POINT
from deploy.local.process import ROOT, StackError
from deploy.local.stack import LocalStack
from prompt_api.access.policy import require_safe
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings

TOKEN_VARIABLE = "SAMCACHE_TOKEN"  # noqa: S105  # its name, as the command line reads it


def main() -> int:
    """Run the service until it is stopped. Exit status: 0 stopped, 1 failed, 2 settings or port are unusable."""
    try:
        settings = Settings.from_env()
        require_safe(settings)
        port = _port_asked_for(settings)
        _require_free(settings.host, port)
    except (ConfigurationError, StackError) as error:
        say(str(error))
        return 2
    stack = LocalStack({"SAM_PORT": str(port)}, mask_workers=True, announce=say, forward=_show)
    with stopped_by_signals():
        try:
            with stack:
                say(how_to_try(stack.url, with_token=bool(settings.tokens.strip())))
                stack.wait()
        except StackError as error:
            say(str(error))
            return 1
        except KeyboardInterrupt:
            say("stopped, nothing left running")
    return 0


def say(text: str) -> None:
    """Print a line. A closed terminal is not an error."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Inside the block, the first SIGINT, SIGTERM or SIGHUP raises `KeyboardInterrupt`. Later signals are ignored.

    The first signal starts the orderly stop, which takes bounded time. Another signal would only interrupt it.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(name: str, line: str) -> None:
    if not name.startswith("valkey"):  # its output does not help a person, and an error quotes its last lines
        say(f"{name:>8} | {line}")


def _port_asked_for(settings: Settings) -> int:
    text = os.environ.get("PORT", "")
    if not text:
        return settings.port
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise StackError(f"PORT={text!r} is not a port; say for example: PORT=8080 make run")
    return int(text)


def _require_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StackError(
                f"port {port} on {host} cannot be used ({error.strerror}); choose another: PORT=8080 make run"
            ) from None


def how_to_try(url: str, *, with_token: bool) -> str:
    """Return lines to paste into a terminal.

    Args:
        url: address of the API.
        with_token: whether the API wants a token. It knows no token itself, only hashes.
    """
    photo, (x, y) = PHOTO.relative_to(ROOT), POINT
    image_id = hashlib.sha256(PHOTO.read_bytes()).hexdigest()
    token, header = "", ""
    if with_token:
        token = f"""
  export {TOKEN_VARIABLE}=samtok_…   # yours; `{_python()} -m prompt_api.access.new_token NAME` makes one
"""
        header = f'-H "Authorization: Bearer ${TOKEN_VARIABLE}" '
    return f"""
Serving at {url}  (Ctrl-C stops it). Try it in a browser, or from another terminal:
{token}
  curl {header}--data-binary @{photo} '{url}/v1/images?wait=30'
  curl {header}-H 'Content-Type: application/json' -d '{{"prompts": [{{"points": [[{x}, {y}]], "labels": [1]}}]}}' \\
    {url}/v1/images/{image_id}/masks
"""


def _python() -> str:
    """Return what a person types in the project's folder to start this interpreter."""
    path = Path(sys.executable)
    return shlex.quote(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path))


if __name__ == "__main__":
    sys.exit(main())
