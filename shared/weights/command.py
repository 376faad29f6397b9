"""The frame of commands that fetch or build files ahead of time and print where they are."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from shared.contract.errors import SamCacheError
from shared.contract.settings import Settings


def print_folders(prepare: Callable[[Settings], Iterable[Path]]) -> int:
    """Print the folders that `prepare` returns, one per line. If it fails, print the error as a sentence.

    Returns:
        The exit status: 0, or 1 after a `SamCacheError`.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        for folder in prepare(Settings.from_env()):
            sys.stdout.write(f"{folder}\n")
    except SamCacheError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    return 0
