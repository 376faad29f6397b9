"""A progress bar for received bytes on a terminal. It prints nothing if the stream is not a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TextIO

_WIDTH = 30


class ProgressBar:
    """Shows `label [#####     ] 12.3 / 36.7 MB` on standard error. Updates rewrite the line, and the last one stays."""

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self._label = label
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._visible = self._stream.isatty()

    def __enter__(self) -> ProgressBar:
        self.show(0)
        return self

    def show(self, done: int) -> None:
        """Show that `done` bytes have arrived. More than the total counts as the total."""
        if self._visible:
            done = min(done, self._total)
            bar = "#" * (_WIDTH * done // self._total)
            megabytes = f"{done / 1e6:.1f} / {self._total / 1e6:.1f} MB"
            self._stream.write(f"\r{self._label} [{bar:<{_WIDTH}}] {megabytes}")
            self._stream.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            self._stream.write("\n")
            self._stream.flush()
