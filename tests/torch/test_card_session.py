"""`bench.card`, which is meant for a GPU: what can be checked without one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from bench.card import __main__ as session
from bench.card.resizing import resized
from shared.contract.models import SAM1

QUICK = "import json, sys; open(sys.argv[sys.argv.index('--out') + 1], 'w').write(json.dumps({'rows': [1, 2]}))"
HANGS = QUICK + "; import time; time.sleep(600)"
FAILS = "raise SystemExit(3)"


def test_a_part_that_is_slow_or_fails_loses_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = {"start": HANGS, "parity": FAILS, "steps": QUICK}
    monkeypatch.setattr(session, "PARTS", tuple(session.Part(name, 3 if name == "start" else 60) for name in programs))
    monkeypatch.setattr(session, "_module", lambda part: [sys.executable, "-c", programs[part.name]])
    monkeypatch.setattr(session, "write_checkpoint", lambda *_, **__: tmp_path / "none.pth")
    out = tmp_path / "results" / "record.json"
    arguments = ["--device", "cpu", "--parts", ",".join(programs), "--out", str(out)]
    assert session.main(arguments) == 1
    record = json.loads(out.read_text())
    assert record["about"]["device"] == "CPU"
    parts = record["parts"]
    assert [parts[name]["ended"] for name in programs] == ["out of time (3 s)", "failed with 3", "done"]
    assert parts["parity"]["rows"] == []
    assert parts["steps"]["rows"] == [1, 2]


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea", "rocket"])
def test_the_device_resizes_as_pillow_does(name: str) -> None:
    """Within one level, and almost always equal; larger and smaller than the frame."""
    photo = np.ascontiguousarray(getattr(skimage.data, name)())
    large = np.ascontiguousarray(np.tile(photo, (3, 4, 1)))
    for rgb in (photo, large):
        theirs = SAM1.frame.resize(rgb)
        ours = resized(torch.from_numpy(rgb), SAM1.frame.inside(rgb.shape[:2])).numpy()
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.max() <= 1
        assert float((difference > 0).mean()) < 0.001
