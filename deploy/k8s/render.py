"""`python -m deploy.k8s.render`: write `rendered/`, what kustomize makes of the overlays. Wants it, or kubectl."""

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
    """The command that renders a folder, or None where there is none."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


def render(overlay: str, command: list[str]) -> str:
    """The overlay's objects as YAML.

    Raises:
        StackError: it is not valid; the message is the tool's.
    """
    folder = str(HOME / "overlays" / overlay)
    done = subprocess.run([*command, folder], capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise StackError(done.stderr)
    return done.stdout


def rendered(overlay: str) -> Path:
    """Where the overlay's objects are kept."""
    return HOME / "rendered" / f"{overlay}.yaml"


def header(overlay: str) -> str:
    """The first lines of a kept file; they name the content of all that it is made of."""
    origin = f"# Made of overlays/{overlay} by `python -m deploy.k8s.render`: change that, not this."
    return f"{origin}\n# from {sources_digest()}\n"


def sources_digest() -> str:
    """Names the content of every file that kustomize reads, lower-case hex."""
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
        print("kubectl or kustomize is needed", file=sys.stderr)
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
