"""Run by its path: `start.py MODULE ARGUMENTS` calls `main` of a module of this folder with strings.

The folder is this checkout's. All other code is of the checkout that PYTHONPATH names, which may be an older commit.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def main(module: str, *arguments: str) -> None:
    here = Path(__file__).resolve().parents[2]
    sys.path[0] = str(here)  # in the place of this file's folder
    import_module("bench.host")
    del sys.path[0]
    import_module(f"bench.host.{module}").main(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
