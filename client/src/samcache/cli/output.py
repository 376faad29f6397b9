"""The output of `samcache`. Results go to standard output, as tables or as JSON. Other text goes to standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

_BAR = 30


class Output:
    """Writes the result of a command, and what went wrong."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def result(self, document: Any, readable: str) -> None:
        """Write the result of the command: `document` with `--json`, otherwise the text."""
        _write(sys.stdout, json.dumps(document, indent=2) if self._as_json else readable)

    def complain(self, sentence: str) -> None:
        """Write one sentence about what went wrong."""
        _write(sys.stderr, f"samcache: {sentence}")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as lines, under a heading of their keys. Numbers are aligned to the right; None is an empty cell."""
    if not rows:
        return ""
    cells = [[*rows[0]], *(["" if value is None else str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [all(isinstance(row[name], int | None) for row in rows) for name in rows[0]]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    )


class Progress:
    """A bar `[####      ] 12/40, 1 failed, 3.1/s` on one line. Only a terminal gets it."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._visible = total > 0 and self._stream.isatty()
        self._started = time.monotonic()

    def show(self, done: int, failed: int) -> None:
        if self._visible:
            bar = "#" * (_BAR * done // self._total)
            rate = done / max(0.001, time.monotonic() - self._started)
            self._stream.write(f"\r[{bar:<{_BAR}}] {done}/{self._total}, {failed} failed, {rate:.1f}/s ")
            self._stream.flush()

    def clear(self) -> None:
        """Erase the bar, so that a line can be written."""
        if self._visible:
            self._stream.write("\r\033[K")
            self._stream.flush()


def _write(stream: TextIO, text: str) -> None:
    # A file name may have bytes that are not text.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
