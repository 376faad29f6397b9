"""The rows of `bench.encode` for models on torch: from the published way to the fastest, a step in each row."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.encode_rows import Bench, Row
from bench.encode_service import jpegs
from bench.flex_attention import use_flex_attention
from bench.photos import MEGAPIXELS, STANDARD, photos
from encoder_worker.backends.on_torch.compiling import MODES, compile_parts
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.resizing import proven_resizer
from encoder_worker.backends.sam1.attention import LARGEST_MASKED, fuse_attention
from encoder_worker.backends.sam1.blocks import fuse_blocks
from encoder_worker.backends.sam1.checkpoint_file import empty_sam, read_checkpoint
from encoder_worker.backends.sam1.network import Network
from shared.contract.errors import EncodeFailed
from shared.contract.models import EMBEDDING, SAM1, Model
from shared.contract.settings import Settings
from shared.weights.checkpoint import locate_checkpoint
from tests.support.small_sam import small_image_encoder

EVERY_MASK = 1 << 30
BATCHES = (1, 4, 8)
"""Batch sizes that are timed; the service uses the second one."""

PUBLISHED = "SamPredictor.set_image, float32"


@dataclass(frozen=True, slots=True)
class Step:
    """A way to build the network.

    Attributes:
        what: name of its row.
        dtype: of the blocks.
        blocks: `published`; `fused attention` in the published blocks; or `fused` blocks.
        masked: the most places for which the bias of attention is a mask.
        gelu: whether GELU is made in the product before it.
        float8: whether products are made in float8.
        flex: whether attention over the whole image is a candidate's; then `masked` must be `EVERY_MASK`.
        mode: of the compiler; None: it is not compiled.
        resizes: whether a GPU resizes pictures.
    """

    what: str
    dtype: torch.dtype
    batch: int = 1
    blocks: str = "fused"
    masked: int = LARGEST_MASKED
    gelu: bool = True
    float8: bool = False
    flex: bool = False
    mode: str | None = None
    resizes: bool = True


def torch_rows(
    model: Model,
    device: torch.device,
    images: int,
    keep: Callable[[Sequence[Row]], None],
    *,
    compiled: bool,
    tiny: bool,
) -> list[Row]:
    """Time every step, then the whole worker around the fastest.

    Args:
        images: timed in each row.
        keep: is called with all rows after each new one.
        compiled: whether steps with the compiler are timed.
        tiny: two narrow blocks in place of the model.
    """
    gpu = device.type == "cuda"
    sam = sam_with_weights(model, tiny)
    photo = photos()[0] if tiny else photos()[0].resized(STANDARD)
    frame = SAM1.frame.resize(photo.rgb)
    bench = Bench(device, images, _tflop(sam.image_encoder), keep)
    _time_published(bench, copy.deepcopy(sam).to(device), photo.rgb)
    exact = encoder_of(model, sam, device, Step("", torch.float32, blocks="published")).encode([frame])[0][EMBEDDING]
    steps = _steps(gpu, compiled, tiny)
    for step in steps:
        torch._dynamo.reset()  # otherwise the compiler would give up after a few networks
        try:
            encoder = encoder_of(model, sam, device, step)
            bench.encoder(step.what, encoder, [frame], error=relative_error(encoder, frame, exact))
        except (EncodeFailed, MemoryError) as failure:  # the rows after it are worth their time
            print(f"{step.what}: {failure}", flush=True)
    best = _tried(encoder_of(model, sam, device, steps[-1]), frame)
    if gpu and not tiny:
        for name, files in _other_sizes(images):
            bench.whole_way(f"batch {best.batch}, {name}", best, files)
    bench.encoder("that encoder alone", best, [frame])
    files = jpegs(photo, 1 + (4 * images if gpu else images))
    bench.service(f"batch {best.batch}", best, files)
    if gpu:
        best = _tried(encoder_of(model, sam, device, replace(steps[-1], resizes=False)), frame)
        bench.service(f"batch {best.batch}, the host resizes", best, files)
    return bench.rows


def _tried(encoder: TorchEncoder, frame: NDArray[Any]) -> TorchEncoder:
    """Return the encoder after it has run a batch of each size that occurs."""
    torch._dynamo.reset()
    for power in range(encoder.batch.bit_length()):
        encoder.try_out([frame] * (1 << power))
    return encoder


def _other_sizes(images: int) -> Iterator[tuple[str, list[bytes]]]:
    """Photos of other sizes than the standard one, and of several sizes. The first file is not counted."""
    photo = photos()[0]
    yield "photos of 12 MP", jpegs(photo.resized(MEGAPIXELS["12 MP"]), 1 + images)
    yield "photos of 50 MP", jpegs(photo.resized(MEGAPIXELS["50 MP"]), 1 + max(1, images // 8))
    mixed = [jpegs(photo.resized(MEGAPIXELS[size]), 1 + images // 3) for size in ("0.3 MP", "2 MP", "12 MP")]
    yield "photos of 0.3, 2 and 12 MP", [file for files in zip(*mixed, strict=True) for file in files]


def _steps(gpu: bool, compiled: bool, tiny: bool) -> list[Step]:
    batches = (1, 2) if tiny else BATCHES if gpu else BATCHES[:2]
    most, usual = max(batches), batches[1]
    dtype = torch.bfloat16 if gpu else torch.float32
    name = "bfloat16" if gpu else "float32"
    steps = [
        Step("float32, fused attention", torch.float32, blocks="fused attention"),
        Step("float32, fused, no products of padding", torch.float32),
    ]
    if gpu:
        steps += [
            Step("bfloat16, attention as published", dtype, blocks="published"),
            Step("bfloat16, fused attention", dtype, blocks="fused attention"),
            Step("bfloat16, fused, no products of padding", dtype, gelu=False),
            Step("bfloat16, GELU in the product, batch 1", dtype),
            Step("bfloat16, bias as a mask", dtype, masked=EVERY_MASK),
            Step("bfloat16, bias folded into all", dtype, masked=0),
        ]
    steps += [Step(f"{name}, fused, batch {batch}", dtype, batch) for batch in batches if batch > 1]
    if not compiled:
        return steps
    mode = MODES["default"]
    if gpu:
        steps += [
            Step("float8, compiled, batch 4", dtype, usual, float8=True, mode=mode),
            Step("bfloat16, compiled, bias folded into all, batch 4", dtype, usual, masked=0, mode=mode),
            Step("bfloat16, compiled, flex_attention, batch 4", dtype, usual, masked=EVERY_MASK, flex=True, mode=mode),
            Step("bfloat16, compiled, GELU by itself, batch 4", dtype, usual, gelu=False, mode=mode),
            Step(f"bfloat16, compiled, batch {most}", dtype, most, mode=mode),
        ]
    steps += [Step(f"{name}, compiled, batch {batch}", dtype, batch, mode=mode) for batch in batches[:2]]
    return steps


def encoder_of(model: Model, sam: Any, device: torch.device, step: Step) -> TorchEncoder:
    """The encoder of a step, with the weights of `sam`."""
    own = copy.deepcopy(sam.image_encoder).to(device)
    if step.blocks == "fused":
        fuse_blocks(own, largest_masked=step.masked, gelu_in_product=step.gelu)
        if step.flex:
            use_flex_attention(own, own.pos_embed.shape[1])
    elif step.blocks == "fused attention":
        fuse_attention(own, largest_masked=step.masked)
    network: nn.Module = Network(own, step.dtype, float8=step.float8).eval()
    if step.mode is not None:
        compile_parts(network.parts, step.mode)
    resizer = proven_resizer(SAM1.frame, device) if step.resizes and device.type == "cuda" else None
    return TorchEncoder(model, network, device, batch=step.batch, half=(EMBEDDING,), resizer=resizer)


def relative_error(encoder: TorchEncoder, frame: NDArray[Any], exact: NDArray[np.floating]) -> float:
    """The norm of what the embedding of `frame` differs from `exact`, divided by the norm."""
    (tensors,) = encoder.encode([frame])
    ours, wide = tensors[EMBEDDING].astype(np.float32), exact.astype(np.float32)
    return float(np.linalg.norm(ours - wide) / np.linalg.norm(wide))


def sam_with_weights(model: Model, tiny: bool, *, given: bool = True) -> Any:
    """segment_anything's `Sam` on the CPU, with the checkpoint of SAM_WEIGHTS_PATH if set, else random weights.

    Args:
        tiny: two narrow blocks in place of the model.
        given: whether that checkpoint is one of this model.
    """
    settings = replace(Settings.from_env(), model=model.name)
    assert model.checkpoint is not None
    network = model.checkpoint.network
    sam = empty_sam(network)
    if tiny:
        sam.image_encoder = small_image_encoder()
    elif given and settings.weights_path:
        path, _ = locate_checkpoint(model, settings)
        sam.load_state_dict(read_checkpoint(path, network, sam.state_dict()), assign=True)
    else:
        generator = torch.Generator().manual_seed(0)
        state = {key: random_weight(key, tensor, generator) for key, tensor in sam.state_dict().items()}
        sam.load_state_dict(state, assign=True)
    for module in (sam.prompt_encoder, sam.mask_decoder):
        module.to_empty(device="cpu") if any(one.is_meta for one in module.parameters()) else None
    for name, values in (("pixel_mean", (123.675, 116.28, 103.53)), ("pixel_std", (58.395, 57.12, 57.375))):
        sam.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
    return sam.eval().requires_grad_(False)


def random_weight(key: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
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
