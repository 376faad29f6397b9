"""Entry point of `samcache`: it runs the command, and turns every way in which it can end into an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from samcache.cli import bulk, demo, everything, segment, segment_boxes, similar, status
from samcache.cli.arguments import parse
from samcache.cli.exits import Exit, exit_of
from samcache.cli.files import UnreadableFile
from samcache.cli.output import Output
from samcache.errors import SamCacheError

_COMMANDS: Mapping[str, Callable[..., Exit]] = MappingProxyType(
    {
        "upload": bulk.upload,
        "warm": bulk.warm,
        "segment": segment.segment,
        "segment-boxes": segment_boxes.segment_boxes,
        "everything": everything.everything,
        "similar": similar.similar,
        "demo": demo.demo,
        "status": status.status,
        "models": status.models,
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `samcache`, and return its exit status (see `Exit`)."""
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
        # The reader of the output has closed it. Python writes what is left at exit, so send that nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except OSError as error:
        output.complain(f"{error.filename} cannot be written: {error.strerror}")
        return Exit.FAILED
