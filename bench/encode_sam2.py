"""The rows of `bench.encode` for SAM 2.1, with random weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from bench.encode_rows import Bench, Row
from bench.encode_service import jpegs
from bench.encode_torch import BATCHES, relative_error
from bench.photos import STANDARD, photos
from encoder_worker.backends.on_torch.compiling import MODES, compile_parts
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.resizing import proven_resizer
from encoder_worker.backends.sam2.network import Network, empty_model
from shared.contract.models import EMBEDDING, SAM2, Model
from tests.support.small_sam2 import by_transformers_names, meta_shapes, random_weights


def sam2_rows(
    model: Model, device: torch.device, images: int, keep: Callable[[Sequence[Row]], None], *, compiled: bool
) -> list[Row]:
    """Time the image encoder in each precision and batch, then the whole worker around the fastest."""
    gpu = device.type == "cuda"
    assert model.checkpoint is not None
    weights = _with_random_weights(model.checkpoint.network)
    photo = photos()[0].resized(STANDARD)
    frame = SAM2.frame.resize(photo.rgb)
    bench = Bench(device, images, None, keep)

    def encoder_of(dtype: torch.dtype, batch: int, mode: str | None = None) -> TorchEncoder:
        torch._dynamo.reset()
        network = Network(copy.deepcopy(weights).to(device), dtype).eval()
        if mode is not None:
            compile_parts(network.parts, mode)
        resizer = proven_resizer(SAM2.frame, device) if device.type == "cuda" else None
        return TorchEncoder(model, network, device, batch=batch, half=(EMBEDDING,), resizer=resizer)

    best = encoder_of(torch.float32, 1)
    (tensors,) = best.encode([frame])
    exact: np.ndarray[Any, np.dtype[np.floating[Any]]] = tensors[EMBEDDING]
    bench.encoder("float32, batch 1", best, [frame])
    ways = [(batch, None) for batch in BATCHES] if gpu else []
    if compiled:
        ways += [(batch, MODES["default"]) for batch in ((BATCHES[0], BATCHES[2], BATCHES[1]) if gpu else (1,))]
    dtype = torch.bfloat16 if gpu else torch.float32
    for batch, mode in ways:
        best = encoder_of(dtype, batch, mode)
        name = f"{str(dtype).removeprefix('torch.')}, {'compiled, ' if mode else ''}batch {batch}"
        bench.encoder(name, best, [frame], error=relative_error(best, frame, exact))
    bench.encoder("that encoder alone", best, [frame])
    bench.service(f"batch {best.batch}", best, jpegs(photo, 1 + (4 * images if gpu else images)))
    return bench.rows


def _with_random_weights(network: str) -> Any:
    sam = empty_model(network)
    state = by_transformers_names(network, random_weights(meta_shapes(network)))
    sam.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, assign=True)
    return sam.eval().requires_grad_(False)
