"""Writes what the page exports and has the tools read it that it is for: `python -m tests.web.check_exports PYTHON`.

PYTHON is an interpreter with those tools; `make exports-check` makes one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.web.export_material import HERE, export_masks, write_exports


def main(python: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        write_exports(Path(folder))
        np.savez(Path(folder) / "masks.npz", *export_masks().values())
        return subprocess.run([python, str(HERE / "foreign_readers.py"), folder], check=False, timeout=600).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
