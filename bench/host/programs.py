"""Processes that wait for a word, work side by side, and then tell what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_START = Path(__file__).with_name("start.py")

_READY, _GO = "ready\n", "go\n"


class Program:
    """A process that runs `main` of a module of this folder, which calls `serve`."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """
        Args:
            environment: variables that it has besides those of this process.
        """
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, str(_START), module, *arguments],
            stdin=pipe,
            stdout=pipe,
            text=True,
            env={**os.environ, **environment},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._said, self._told = self._process.stdout, self._process.stdin

    def wait_until_ready(self) -> None:
        assert self._said.readline() == _READY, "a program of the bench did not start"

    def go(self) -> None:
        self._told.write(_GO)
        self._told.flush()

    def found(self) -> Any:
        """Wait until it has done its work, and return what it found."""
        return json.loads(self._said.readline())

    def end(self) -> None:
        """Wait until it has ended. It does so when it is told nothing any more."""
        self._told.close()
        self._process.wait()
        self._said.close()

    def kill(self) -> None:
        self._process.kill()


@contextmanager
def programs(
    count: int, module: str, arguments: Sequence[str], environment: Mapping[str, str] | None
) -> Iterator[list[Program]]:
    """Gives `count` programs that start side by side, and ends them. See `Program`."""
    with ExitStack() as ends:
        made = []
        for _ in range(count):
            made.append(Program(module, arguments, environment or {}))
            ends.callback(made[-1].end)
        try:
            yield made
        except BaseException:
            for program in made:
                program.kill()
            raise


def side_by_side(made: Sequence[Program]) -> list[Any]:
    """Let programs that are ready work at the same time. Return what each of them found."""
    for program in made:
        program.go()
    return [program.found() for program in made]


def serve(work: Callable[[], Any]) -> None:
    """In a program: do the work each time the other side asks for it, until that is gone.

    Args:
        work: returns what JSON can hold.
    """
    print(_READY, end="", flush=True)
    while sys.stdin.readline() == _GO:
        print(json.dumps(work()), flush=True)
