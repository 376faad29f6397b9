"""Entry point of `samcache`: options to a command, and every way it can end to an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from prompt_api.cli import bulk, segment, status
from prompt_api.cli.arguments import parse
from prompt_api.cli.exits import Exit, exit_of
from prompt_api.cli.files import UnreadableFile
from prompt_api.cli.output import Output
from shared.contract.errors import SamCacheError

_COMMANDS: Mapping[str, Callable[..., Exit]] = MappingProxyType(
    {
        "upload": bulk.upload,
        "warm": bulk.warm,
        "segment": segment.segment,
        "status": status.status,
        "models": status.models,
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `samcache`; the exit status, see `Exit`."""
    options = parse(arguments)
    output = Output(as_json=options.json)
    try:
        return _COMMANDS[options.command](options, output)
    except SamCacheError as error:
        output.complain(error.detail)
        return exit_of(error)
    except UnreadableFile as error:
        output.complain(str(error))
        return Exit.FAILED
    except KeyboardInterrupt:
        output.complain("stopped")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except OSError as error:
        output.complain(f"{error.filename} cannot be written: {error.strerror}")
        return Exit.FAILED
