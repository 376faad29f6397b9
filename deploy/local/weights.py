"""Has the weights fetched before anything starts, so that one process does it, with its progress on the terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from deploy.local.process import ROOT, ProcessGroup, StackError

_FETCH_SECONDS = 900.0


def fetch_weights(group: ProcessGroup, environ: Mapping[str, str]) -> None:
    """Run the fetcher and wait for it; it returns at once when the files are there.

    Raises:
        StackError: it failed (and has said why) or took too long.
    """
    command = [sys.executable, "-m", "shared.weights"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=group.id
    ) as fetcher:
        try:
            status = fetcher.wait(_FETCH_SECONDS)
        except subprocess.TimeoutExpired:
            raise StackError(f"fetching the weights took more than {_FETCH_SECONDS:.0f} s") from None
        finally:
            fetcher.kill()
    if status != 0:
        raise StackError("the weights could not be set up; the line above says why")
