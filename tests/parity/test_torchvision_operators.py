"""segment_anything can be imported with and without torchvision's compiled operators."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in its own process, with these folders first on its module path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in (*path, ROOT))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def with_torchvision(folder: Path, source: str) -> Path:
    """Return a folder with a torchvision that has the given source."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(source, encoding="utf-8")
    return folder


ENSURE = """
from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
ensure_torchvision_imports()
ensure_torchvision_imports()
"""


def test_segment_anything_imports_here() -> None:
    result = run(f"{ENSURE}import segment_anything")
    assert result.returncode == 0, result.stderr


def test_missing_operators_are_declared_and_the_import_repeated(tmp_path: Path) -> None:
    source = "import torch\nif not hasattr(torch.ops.torchvision, 'nms'):\n    raise RuntimeError(%r)\n"
    folder = with_torchvision(tmp_path, source % "operator torchvision::nms does not exist")
    result = run(f"{ENSURE}import torch, torchvision\nprint(torch.ops.torchvision.qnms)", folder)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("error", "sentence"), [("RuntimeError", "the graphics driver is too old"), ("ImportError", "libjpeg is missing")]
)
def test_any_other_failure_of_torchvision_is_left_alone(tmp_path: Path, error: str, sentence: str) -> None:
    result = run(ENSURE, with_torchvision(tmp_path, f"raise {error}({sentence!r})\n"))
    assert result.returncode != 0
    assert f"{error}: {sentence}" in result.stderr
