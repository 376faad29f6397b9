"""Fetches the weights before anything starts. So one process does it, and shows its progress on the terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from deploy.local.process import ROOT, ProcessGroup, StackError

_FETCH_SECONDS = 7200.0
"""Most seconds for fetching. The largest checkpoint has 2.6 GB."""


def fetch_weights(group: ProcessGroup, environ: Mapping[str, str]) -> None:
    """Run the preparing command and wait for it. It ends at once if the files are there.

    It also makes the decoder files of checkpoints, so that the API does not wait for a worker.

    Raises:
        StackError: the command failed (and printed why) or took too long.
    """
    command = [sys.executable, "-m", "encoder_worker.prepare"]
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
