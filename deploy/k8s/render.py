"""`python -m deploy.k8s.render`: render the overlays into `rendered/`. It needs kustomize or kubectl."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local.process import StackError

HOME = Path(__file__).parent
OVERLAYS = ("local", "production")

_GATEWAY = HOME.parent / "gateway"
_SECONDS = 60.0


def tool() -> list[str] | None:
    """Return the command that renders a folder, or None if no tool is installed."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


def render(overlay: str, command: list[str]) -> str:
    """Return the overlay's objects as YAML.

    Raises:
        StackError: the overlay is not valid. The message comes from the tool.
    """
    folder = str(HOME / "overlays" / overlay)
    done = subprocess.run([*command, folder], capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise StackError(done.stderr)
    return done.stdout


def rendered(overlay: str) -> Path:
    """Return the path of the overlay's rendered file."""
    return HOME / "rendered" / f"{overlay}.yaml"


def header(overlay: str) -> str:
    """Return the first lines of a rendered file. They hold the digest of its sources."""
    origin = f"# Made of overlays/{overlay} by `python -m deploy.k8s.render`: change that, not this."
    return f"{origin}\n# from {sources_digest()}\n"


def sources_digest() -> str:
    """Return one SHA-256, lower-case hex, over the name and content of every file that kustomize reads."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(f"{path.relative_to(HOME.parent)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for folder in (HOME / "base", HOME / "components", HOME / "overlays", _GATEWAY):
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def main() -> int:
    command = tool()
    if command is None:
        print("kubectl or kustomize is required", file=sys.stderr)
        return 1
    rendered(OVERLAYS[0]).parent.mkdir(exist_ok=True)
    for overlay in OVERLAYS:
        try:
            rendered(overlay).write_text(header(overlay) + render(overlay, command))
        except StackError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
