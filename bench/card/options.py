"""What the parts of `bench.card` have in common: their options, and rows that are written as they are measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.host.atomic_file import replacing


def read_options(name: str, description: str | None, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options `model`, `device`, `tiny` and `out` of a part."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.card.{name}", description=description)
    parser.add_argument("--model", default="vit_h", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="two narrow blocks in place of the model")
    parser.add_argument("--out", type=Path, required=True, help="JSON")
    return parser.parse_args(arguments)


class Rows:
    """What was measured so far. The file is complete after each row."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._rows: list[dict[str, Any]] = []

    def add(self, what: str, **measured: Any) -> None:
        self._rows.append({"what": what, **measured})
        with replacing(self._out) as file:
            file.write(json.dumps({"rows": self._rows}, indent=2).encode())
        numbers = ", ".join(f"{name} {value}" for name, value in measured.items() if not isinstance(value, list))
        print(f"{what:<52}{numbers}", flush=True)
