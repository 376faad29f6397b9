"""`python -m bench.encode`: images per second, from `SamPredictor.set_image` as published to the whole service.

Each row adds one step to the row above it. On a GPU, run `python -m bench.encode --model vit_h`: it takes 3 to 10
minutes. It needs no checkpoint, because random weights are as fast; SAM_WEIGHTS_PATH names a real one. On a CPU, use
`--model mobile_sam`. `--host` measures what is around the encoder, on any machine: see `bench.host.run`.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from bench import machine
from bench.encode_service import jpegs, seconds_from_rq_to_redis, seconds_in_pipeline
from bench.gpu import Utilisation, device_name, peak_tflops, synchronise
from bench.host import run as host
from bench.photos import STANDARD, photos
from encoder_worker.backends.load import load_encoder
from encoder_worker.backends.on_torch.device import choose_device
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.sam1.attention import LARGEST_MASKED, fuse_attention
from encoder_worker.backends.sam1.checkpoint_file import empty_sam, read_checkpoint
from encoder_worker.backends.sam1.network import Network
from encoder_worker.encoding.encoder import Encoder
from shared.contract.models import EMBEDDING, MOBILE_SAM, SAM1, Model, find_model
from shared.contract.settings import Settings
from shared.observe import logs
from shared.weights.checkpoint import locate_checkpoint
from tests.support.small_sam import small_image_encoder

RESULTS = Path(__file__).parent / "results"
EVERY_MASK = 1 << 30
BATCHES = (1, 4, 8)
"""Batch sizes that are timed; the service uses the second one."""

PUBLISHED = "SamPredictor.set_image, float32"
WHOLE_WAY = "RQ to Redis"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to encode.

    Attributes:
        what: name of the way.
        images: number of images that were timed.
        images_per_second, ms_per_image: mean.
        against_published: its rate divided by the rate of the first row.
        utilisation: of the GPU, percent.
        peak_gb: the most memory of the device that torch held.
        peak_share: the encoder's arithmetic, in percent of the device's bfloat16 peak.
    """

    what: str
    images: int
    images_per_second: float
    ms_per_image: float
    against_published: float
    utilisation: float | None
    peak_gb: float | None
    peak_share: float | None


class Bench:
    """Collects rows on one device."""

    def __init__(self, device: torch.device, images: int, tflop: float | None) -> None:
        """
        Args:
            images: how many to time in each row, rounded up to whole batches.
            tflop: floating point operations for one image, in 10^12.
        """
        self.rows: list[Row] = []
        self.images = images
        self._device = device
        self._tflop = tflop

    def time(self, what: str, run: Callable[[], object], *, images: int, repeats: int, warm: bool = True) -> None:
        """Add a row for `repeats` calls of `run` with `images` images each. A first call is not counted, if `warm`."""
        if warm:
            run()
        synchronise(self._device)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        with Utilisation(self._device) as utilisation:
            started = time.perf_counter()
            for _ in range(repeats):
                run()
            synchronise(self._device)
            seconds = time.perf_counter() - started
        self.add(what, images * repeats, seconds, utilisation.mean)

    def add(self, what: str, images: int, seconds: float, utilisation: float | None = None) -> None:
        rate = images / seconds
        peak = peak_tflops(self._device)
        row = Row(
            what=what,
            images=images,
            images_per_second=rate,
            ms_per_image=1000 / rate,
            against_published=rate / self.rows[0].images_per_second if self.rows else 1.0,
            utilisation=utilisation,
            peak_gb=torch.cuda.max_memory_allocated(self._device) / 1e9 if self._device.type == "cuda" else None,
            peak_share=100 * rate * self._tflop / peak if peak and self._tflop else None,
        )
        self.rows.append(row)
        print(_line(row), flush=True)

    def encoder(self, what: str, encoder: Encoder, frames: Sequence[NDArray[np.uint8]]) -> None:
        """Add a row for `encode` on batches of the encoder's size."""
        count = encoder.batch
        batch = [frames[index % len(frames)] for index in range(count)]
        self.time(what, lambda: encoder.encode(batch), images=count, repeats=-(-self.images // count))

    def service(self, what: str, encoder: Encoder, files: Sequence[bytes]) -> None:
        """Add a row for the pipeline, and one for the whole way from RQ to Redis."""
        for way, seconds_of in (
            ("pipeline from JPEG bytes", seconds_in_pipeline),
            (WHOLE_WAY, seconds_from_rq_to_redis),
        ):
            with Utilisation(self._device) as utilisation:
                seconds = seconds_of(encoder, files)
            self.add(f"{what}, {way}", len(files) - 1, seconds, utilisation.mean)


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    if "--host" in given:
        return host.main([argument for argument in given if argument != "--host"])
    parser = argparse.ArgumentParser(prog="python -m bench.encode", description=__doc__)
    parser.add_argument("--model", default="vit_b", choices=("vit_b", "vit_l", "vit_h", "mobile_sam"))
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
    rows = (
        _onnx_rows(device, images)
        if model is MOBILE_SAM
        else _torch_rows(model, device, images, compiled, options.tiny)
    )
    whole, alone = rows[-1].images_per_second, rows[-3].images_per_second
    print(
        f"{WHOLE_WAY}: {whole / rows[0].images_per_second:.1f}x the first row, {whole / alone:.0%} of the encoder alone"
    )
    record = {
        "about": {**machine.about(quick=options.tiny), "device": device_name(device), "model": options.model},
        "rows": [asdict(row) for row in rows],
    }
    out = options.out or _default_out(options.model, device, record["about"]["date"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written to {out}")
    return 0


def _torch_rows(model: Model, device: torch.device, images: int, compiled: bool, tiny: bool) -> list[Row]:
    sam = _sam(model, tiny)
    photo = photos()[0] if tiny else photos()[0].resized(STANDARD)
    frame = SAM1.frame.resize(photo.rgb)
    bench = Bench(device, images, _tflop(sam.image_encoder))
    _time_published(bench, copy.deepcopy(sam).to(device), photo.rgb)

    def encoder(dtype: torch.dtype, masked: int | None, batch: int, mode: str | None = None) -> TorchEncoder:
        own = copy.deepcopy(sam.image_encoder).to(device)
        if masked is not None:
            fuse_attention(own, largest_masked=masked)
        network: Callable[[torch.Tensor], Mapping[str, torch.Tensor]] = Network(own, dtype)
        if mode is not None:
            network = torch.compile(network, mode=mode, dynamic=False)
        return TorchEncoder(model, network, device, batch=batch, half=(EMBEDDING,))

    folded = LARGEST_MASKED
    batches = (1, 2) if tiny else BATCHES if device.type == "cuda" else BATCHES[:2]
    frames = [frame]
    bench.encoder("float32, fused attention", encoder(torch.float32, folded, 1), frames)
    reduced = torch.bfloat16 if device.type == "cuda" else torch.float32
    name = "bfloat16" if reduced is torch.bfloat16 else "float32"
    if reduced is torch.bfloat16:
        bench.encoder("bfloat16, attention as published", encoder(reduced, None, 1), frames)
        bench.encoder("bfloat16, fused, bias as a mask", encoder(reduced, EVERY_MASK, 1), frames)
        bench.encoder("bfloat16, fused, bias folded into all", encoder(reduced, 0, 1), frames)
    for batch in batches:
        bench.encoder(f"{name}, fused, batch {batch}", encoder(reduced, folded, batch), frames)
    best = encoder(reduced, folded, batches[1])
    if compiled:
        for batch in batches:
            bench.encoder(f"{name}, fused, compiled, batch {batch}", encoder(reduced, folded, batch, "default"), frames)
        best = encoder(reduced, folded, batches[1], "default")
    bench.encoder("that encoder alone", best, frames)
    best.warm_up()
    bench.service(f"batch {best.batch}", best, jpegs(photo, 1 + (4 * images if device.type == "cuda" else images)))
    return bench.rows


def _onnx_rows(device: torch.device, images: int) -> list[Row]:
    photo = photos()[0].resized(STANDARD)
    bench = Bench(device, images, None)
    encoder = load_encoder(MOBILE_SAM, Settings(device=device.type))
    bench.encoder(f"ONNX Runtime, batch {encoder.batch}", encoder, [SAM1.frame.resize(photo.rgb)])
    bench.service("ONNX Runtime", encoder, jpegs(photo, 1 + images))
    return bench.rows


def _sam(model: Model, tiny: bool) -> Any:
    """segment_anything's `Sam` on the CPU, with the checkpoint of SAM_WEIGHTS_PATH if set, else random weights."""
    settings = Settings.from_env()
    assert model.checkpoint is not None
    network = model.checkpoint.network
    sam = empty_sam(network)
    if tiny:
        sam.image_encoder = small_image_encoder()
    elif settings.weights_path:
        path, _ = locate_checkpoint(model, settings)
        sam.load_state_dict(read_checkpoint(path, network, sam.state_dict()), assign=True)
    else:
        generator = torch.Generator().manual_seed(0)
        state = {key: _random(key, tensor, generator) for key, tensor in sam.state_dict().items()}
        sam.load_state_dict(state, assign=True)
    for module in (sam.prompt_encoder, sam.mask_decoder):
        module.to_empty(device="cpu") if any(one.is_meta for one in module.parameters()) else None
    for name, values in (("pixel_mean", (123.675, 116.28, 103.53)), ("pixel_std", (58.395, 57.12, 57.375))):
        sam.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
    return sam.eval().requires_grad_(False)


def _random(key: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if tensor.ndim < 2:  # norms and biases
        return torch.ones(tensor.shape) if key.endswith("weight") else torch.zeros(tensor.shape)
    return torch.randn(tensor.shape, generator=generator) * tensor[0].numel() ** -0.5


def _time_published(bench: Bench, sam: Any, rgb: NDArray[np.uint8]) -> None:
    from segment_anything import SamPredictor  # noqa: PLC0415  # importable since `empty_sam`

    predictor = SamPredictor(sam)
    bench.time(PUBLISHED, lambda: predictor.set_image(rgb), images=1, repeats=bench.images)


def _tflop(image_encoder: Any) -> float:
    """Floating point operations for one image, in 10^12. Counted on the published network, without running it."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        copy.deepcopy(image_encoder).to("meta")(torch.empty(1, 3, SAM1.frame.side, SAM1.frame.side, device="meta"))
    return float(counter.get_total_flops()) / 1e12


def _default_out(model: str, device: torch.device, date: str) -> Path:
    name = re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")
    return RESULTS / f"{date[:10]}-encode-{model}-{name}.json"


def _line(row: Row) -> str:
    def optional(value: float | None, unit: str, digits: int = 0) -> Iterator[str]:
        if value is not None:
            yield f"{value:.{digits}f} {unit}"

    rate = f"{row.images_per_second:>9.2f} images/s{row.ms_per_image:>10.1f} ms{row.against_published:>7.2f}x"
    parts = [
        f"{row.what:<44}{rate}",
        *optional(row.utilisation, "% busy"),
        *optional(row.peak_gb, "GB", 1),
        *optional(row.peak_share, "% of peak"),
    ]
    return "   ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
