"""`python -m bench.encode`: images per second, from `SamPredictor.set_image` as published to the whole service.

Each row adds one step to the row above it. On a GPU, run `python -m bench.encode --model vit_h`: it takes 3 to 10
minutes. It needs no checkpoint, because random weights are as fast; SAM_WEIGHTS_PATH names a real one. On a CPU, use
`--model mobile_sam`. `--host` measures what is around the encoder, on any machine: see `bench.host.run`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from bench import machine
from bench.encode_onnx import onnx_rows
from bench.encode_rows import WHOLE_WAY, Row
from bench.encode_sam2 import sam2_rows
from bench.encode_torch import torch_rows
from bench.gpu import device_name
from bench.host import run as host
from encoder_worker.backends.on_torch.device import choose_device
from shared.contract.models import MOBILE_SAM, REGISTRY, SAM2, find_model
from shared.contract.settings import Settings
from shared.observe import logs

MODELS = ("vit_b", "vit_l", "vit_h", "mobile_sam", *(name for name in REGISTRY if name.startswith("sam2.1_")))
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--host" in given:
        return host.main([argument for argument in given if argument != "--host"])
    parser = argparse.ArgumentParser(prog="python -m bench.encode", description=__doc__)
    parser.add_argument("--model", default="vit_b", choices=MODELS)
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--images", type=int, default=0, help="images timed per row; default 64 on a GPU, 4 on a CPU")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="default: on a GPU alone")
    parser.add_argument(
        "--tiny", action="store_true", help="two narrow blocks in place of the model: a check of the bench"
    )
    parser.add_argument("--out", type=Path, help="JSON; default: bench/results, under date, model and device")
    options = parser.parse_args(given)
    logs.configure(Settings(log_level="WARNING"), "bench")
    device = choose_device(options.device)
    gpu = device.type == "cuda"
    images = options.images or (64 if gpu else 4)
    model = find_model(options.model)
    print(f"{options.model}{' (tiny)' if options.tiny else ''} on {device_name(device)}, {images} images per row")
    compiled = gpu if options.compile is None else options.compile
    about = {**machine.about(quick=options.tiny), "device": device_name(device), "model": options.model}
    out = options.out or _default_out(options.model, device, about["date"])
    out.parent.mkdir(parents=True, exist_ok=True)

    def keep(rows: Sequence[Row]) -> None:
        record = {"about": about, "rows": [asdict(row) for row in rows]}
        out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    if model is MOBILE_SAM:
        rows = onnx_rows(device, images)
    elif model.architecture is SAM2:
        rows = sam2_rows(model, device, images, keep, compiled=compiled)
    else:
        rows = torch_rows(model, device, images, keep, compiled=compiled, tiny=options.tiny)
    whole, alone = rows[-1].images_per_second, rows[-3].images_per_second
    print(
        f"{WHOLE_WAY}: {whole / rows[0].images_per_second:.1f}x the first row, {whole / alone:.0%} of the encoder alone"
    )
    keep(rows)
    print(f"written to {out}")
    return 0


def _default_out(model: str, device: torch.device, date: str) -> Path:
    name = re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")
    return RESULTS / f"{date[:10]}-encode-{model}-{name}.json"


if __name__ == "__main__":
    sys.exit(main())
