"""The results of single files, kept in a hidden folder, so that a run that was interrupted goes on where it was."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

FOLDER = ".samcache"


class Parts:
    """Results by name. Each is kept with what it was made from, and is found again only for the same."""

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: where the results of the run are written. It need not exist yet.
        """
        self._folder = folder / FOLDER

    def get(self, name: str, made_from: dict[str, Any]) -> Any:
        """The result called `name`, or None if there is none that was made from exactly this."""
        try:
            kept = json.loads(self._path(name).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(kept, dict) or kept.get("made_from") != made_from:
            return None
        return kept.get("result")

    def put(self, name: str, made_from: dict[str, Any], result: Any) -> None:
        """Keep a result.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(self._path(name), {"made_from": made_from, "result": result})

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def write_whole(path: Path, document: Any) -> None:
    """Write JSON to `path`. Whoever reads it, or interrupts this, finds the old file or the new one, whole.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
