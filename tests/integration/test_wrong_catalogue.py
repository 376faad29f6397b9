"""A wrong catalogue: neither the API nor a worker starts, and the last line says which entry and which key is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.catalogue import write_catalogue

ROOT = Path(__file__).parents[2]
FINE: dict[str, Any] = {"architecture": "vit_b", "weights": "w.pth"}


@pytest.mark.parametrize("module", ["prompt_api", "encoder_worker", "encoder_worker.prepare"])
@pytest.mark.parametrize("wrong", ["entry", "digest"])
def test_no_service_starts_with_a_wrong_catalogue(module: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    if wrong == "entry":  # an entry that this service does not serve
        path = write_catalogue(tmp_path, fine=FINE, other={**FINE, "pixels": "no"})
        model, says = "fake", f"SAM_CATALOGUE={path}: models.other, pixels: expected 'plain' or 'minmax', not 'no'"
    else:
        path = write_catalogue(tmp_path, fine={**FINE, "sha256": "0" * 64})
        model, says = "fine", f"SAM_CATALOGUE={path}: models.fine, sha256: expected {'0' * 64}, and that of"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    environ |= {"SAM_CATALOGUE": str(path), "SAM_MODEL": model, "SAM_WEIGHTS_DIR": str(tmp_path / "cache")}
    environ |= {"SAM_CACHE_URL": "redis://127.0.0.1:1", "SAM_PORT": "0", "SAM_DEVICE": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 2, done.stderr
    assert says in done.stderr.splitlines()[-1]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("module", ["prompt_api", "encoder_worker"])
def test_a_model_that_is_nowhere_is_one_sentence(module: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    environ |= {"SAM_CATALOGUE": str(write_catalogue(tmp_path, fine=FINE)), "SAM_MODEL": "gone", "SAM_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "there is no model 'gone'; the known models are mobile_sam," in done.stderr.splitlines()[-1]
    assert ", fine" in done.stderr.splitlines()[-1]
