"""Child processes of the local stack: started in one group, their output read, stopped within a bound."""

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
"""The checkout: services run from here, so that `python -m` finds them."""

STOP_SECONDS = 12.0
"""How long a child may take to obey SIGTERM: the worker finishes its encoding, the API its requests."""

_TAIL_LINES = 30
_LINE_BYTES = 8192  # a longer line is cut into several: a child cannot make its reader grow


class StackError(Exception):
    """The local stack cannot run; the message says why and what to do."""


class ProcessGroup:
    """A process group that ends with this process, however this process ends."""

    def __init__(self) -> None:
        guard = Path(__file__).with_name("guard.py")
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(guard)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
        )

    @property
    def id(self) -> int:
        return self._guard.pid

    def close(self) -> None:
        """Kill what is left of the group. Calling again does nothing."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            self._guard.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()


class Child:
    """One running child: its output goes line by line to `sink`, the last lines are kept."""

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
        """The first match of `pattern` among its last lines, waiting until `deadline` (monotonic seconds).

        Raises:
            StackError: it ended, or the time is over.
        """
        with self._news:
            while True:
                for line in self._lines:
                    if match := pattern.search(line):
                        return match
                self.require_running()
                if time.monotonic() > deadline:
                    raise StackError(f"{self.name} did not get ready in time; its last lines:\n{self.tail()}")
                # Short: the exit of a process whose children still hold its output brings no news.
                self._news.wait(0.1)

    def require_running(self) -> None:
        """Return if it runs.

        Raises:
            StackError: it ended; the message carries its last lines.
        """
        if self.exit_code is not None:
            self._reader.join(1.0)
            raise StackError(f"{self.name} ended with status {self.exit_code}; its last lines:\n{self.tail()}")

    def tail(self) -> str:
        """Its last lines, indented."""
        with self._news:
            return "\n".join(f"    {line}" for line in self._lines) or "    (it said nothing)"

    def signal(self, number: int) -> None:
        """Send it a signal; nothing happens if it has ended."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """True once it has ended, False if it still runs after `seconds`."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it with SIGKILL and return once it is gone."""
        self._process.kill()
        self._process.wait()

    def finish_reading(self) -> None:
        """Return once its output is read to the end and closed; call it when its whole group is gone."""
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
    """SIGTERM to every child at once, SIGKILL to those that still run after `seconds`."""
    for child in children:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for child in children:
        if not child.wait(max(0.0, deadline - time.monotonic())):
            child.kill()
