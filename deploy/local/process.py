"""Child processes of the local stack. They run in one group, their output is read, and they stop in bounded time."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout. Services run in this folder, so that `python -m` finds them."""

STOP_SECONDS = 12.0
"""Seconds that a child may take to obey SIGTERM: the worker finishes its encoding, the API its requests."""

_TAIL_LINES = 30
_LINE_BYTES = 8192  # a longer line is split, so that a child cannot make its reader's memory grow


class StackError(Exception):
    """The local stack cannot run. The message says why and what to do."""


class ProcessGroup:
    """A process group that is killed when this process ends, however it ends."""

    def __init__(self) -> None:
        guard = Path(__file__).with_name("guard.py")
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(guard)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
        )

    @property
    def id(self) -> int:
        return self._guard.pid

    def close(self) -> None:
        """Kill the remaining processes of the group. A second call does nothing."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            self._guard.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()


class Child:
    """One child process. Its output goes line by line to `sink`, and its last lines are kept."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        group: ProcessGroup,
        sink: Callable[[str], None],
    ) -> None:
        self.name = name
        self.started = time.monotonic()
        self._sink = sink
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=group.id,
        )
        self._reader = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait_for_line(self, pattern: re.Pattern[str], deadline: float) -> re.Match[str]:
        """Wait until one of its last lines matches `pattern`, and return the first match.

        Args:
            deadline: when to give up, in monotonic seconds.

        Raises:
            StackError: the child ended, or the deadline has passed.
        """
        with self._news:
            while True:
                for line in self._lines:
                    if match := pattern.search(line):
                        return match
                self.require_running()
                if time.monotonic() > deadline:
                    raise StackError(f"{self.name} did not get ready in time; its last lines:\n{self.tail()}")
                # Wait only shortly: if the process ends while its children hold its output, nothing wakes this thread.
                self._news.wait(0.1)

    def require_running(self) -> None:
        """Return if the child runs.

        Raises:
            StackError: the child ended. The message has its last lines.
        """
        if self.exit_code is not None:
            self._reader.join(1.0)
            raise StackError(f"{self.name} ended with status {self.exit_code}; its last lines:\n{self.tail()}")

    def tail(self) -> str:
        """Return its last lines, indented."""
        with self._news:
            return "\n".join(f"    {line}" for line in self._lines) or "    (it said nothing)"

    def signal(self, number: int) -> None:
        """Send a signal to the child. Nothing happens if it has ended."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the child. Return False if it still runs after `seconds`."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Send SIGKILL and return when the child has ended."""
        self._process.kill()
        self._process.wait()

    def finish_reading(self) -> None:
        """Wait until its output is read to the end. Call this when the whole group has ended."""
        self._reader.join(STOP_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            while raw := output.readline(_LINE_BYTES):
                line = raw.decode(errors="replace").rstrip()
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
                self._sink(line)


def stop_all(children: Sequence[Child], seconds: float = STOP_SECONDS) -> None:
    """Send SIGTERM to all children at once, and SIGKILL to those that still run after `seconds`."""
    for child in children:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for child in children:
        if not child.wait(max(0.0, deadline - time.monotonic())):
            child.kill()
