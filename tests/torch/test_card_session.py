"""`bench.card`, which is meant for a GPU: what can be checked without one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from bench.card import __main__ as session
from bench.encode_torch import EVERY_MASK
from bench.flex_attention import use_flex_attention
from encoder_worker.backends.sam1.blocks import fuse_blocks
from encoder_worker.backends.sam1.network import Network
from tests.support.small_sam import deep_image_encoder, randomise

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


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_candidate_for_attention_equals_what_is_used() -> None:
    def embedding(*, flex: bool) -> torch.Tensor:
        encoder = deep_image_encoder()
        randomise(encoder, seed=1)
        fuse_blocks(encoder, largest_masked=EVERY_MASK)
        if flex:
            use_flex_attention(encoder, 4)
        return Network(encoder.eval().requires_grad_(False), torch.float32)(frames)["embedding"]

    frames = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(embedding(flex=True), embedding(flex=False), atol=1e-4, rtol=1e-4)
