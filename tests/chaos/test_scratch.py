"""The folder for temporary files can be filled and emptied."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.scratch import Scratch

WRITER = """
import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1] + line.strip(), "wb", buffering=0) as file:
            written = file.write(bytes(100_000))
        print("all" if written == 100_000 else "a part", flush=True)
    except OSError:
        print("nothing", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes are Linux's")
def test_while_it_is_full_nothing_can_be_written(tmp_path: Path) -> None:
    pids: list[int] = []
    scratch = Scratch(tmp_path / "scratch", lambda: pids)
    try:
        command = [sys.executable, "-c", WRITER, str(scratch.folder / "file")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            pids.append(writer.pid)
            steps = ((lambda: None, "all"), (scratch.fill, "nothing"), (scratch.drain, "all"))
            for number, (act, expected) in enumerate(steps):
                act()
                writer.stdin.write(f"{number}\n")
                writer.stdin.flush()
                assert writer.stdout.readline().strip() == expected
            writer.stdin.close()
    finally:
        scratch.close()
