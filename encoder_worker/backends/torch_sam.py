"""segment_anything's image encoders (ViT-B, ViT-L, ViT-H) in torch, on a GPU where there is one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder_worker.backends.attention import fuse_attention
from encoder_worker.backends.batches import FittingBatches
from encoder_worker.backends.checkpoint_file import decoder_arrays, empty_sam, read_checkpoint
from encoder_worker.backends.device import choose_device, choose_dtype, explained_memory
from encoder_worker.backends.staging import Staging
from shared.contract.errors import EncodeFailed, WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.host.cores import usable_cores
from shared.tensors.embedding import Tensors
from shared.weights.checkpoint import locate_checkpoint
from shared.weights.decoder_file import decoder_path, read_decoder, write_decoder

GPU_BATCH = 4
"""Images per batch on a GPU unless `SAM_ENCODE_BATCH` says otherwise. On a CPU a batch saves nothing."""

_COMPILE = {"default": "default", "max-autotune": "max-autotune-no-cudagraphs"}
"""torch's modes by setting. CUDA graphs belong to the thread that recorded them, and save little at this size."""

_log = logging.getLogger(__name__)


class Network(nn.Module):
    """An `ImageEncoderViT` whose transformer blocks run in `dtype`.

    The patch embedding and the neck stay in float32: a hundredth of the work, and what the result's precision
    hangs on.
    """

    def __init__(self, image_encoder: Any, dtype: torch.dtype) -> None:
        super().__init__()
        image_encoder.blocks.to(dtype)
        self._encoder = image_encoder
        self._dtype = dtype

    def forward(self, frames: Tensor) -> Tensor:
        """(B, 3, 1024, 1024) float32, normalised and padded, to (B, 256, 64, 64) float32."""
        encoder = self._encoder
        x = (encoder.patch_embed(frames) + encoder.pos_embed).to(self._dtype)
        for block in encoder.blocks:
            x = block(x)
        result: Tensor = encoder.neck(x.float().permute(0, 3, 1, 2))
        return result


class TorchEncoder:
    """An `Encoder` on any network from (B, 3, 1024, 1024) to (B, 256, 64, 64), both float32 on `device`."""

    def __init__(
        self,
        model: Model,
        network: Callable[[Tensor], Tensor],
        device: torch.device,
        *,
        batch: int = 1,
        result: torch.dtype = torch.float32,
    ) -> None:
        """
        Args:
            batch: most images at once.
            result: float32, or float16 to have the device round the embeddings.
        """
        self._model = model
        self._network = network
        self._batches = FittingBatches(batch)
        self._staging = Staging(model, device, self._batches.largest, result)

    @property
    def model(self) -> Model:
        return self._model

    @property
    def batch(self) -> int:
        return self._batches.largest

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        try:
            return self._batches.run(images, self._encode)
        except torch.OutOfMemoryError as error:
            raise EncodeFailed("the device has no memory left to encode even one image") from error
        except (RuntimeError, ValueError) as error:  # CUDA's errors are RuntimeErrors without types of their own
            raise EncodeFailed(f"torch could not run the image encoder: {str(error).splitlines()[0]}") from error

    def warm_up(self) -> None:
        """Run a batch of each size, which compiles, tunes and allocates whatever does so on first use.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
        """
        side = self._model.architecture.frame.side
        blank = np.zeros((side, side, 3), dtype=np.uint8)
        started = time.perf_counter()
        for size in self._batches.sizes:
            self._batches.run([blank] * size, self._encode)
        _log.info("warmed up in %.1f s, batches of up to %d", time.perf_counter() - started, self.batch)

    @torch.inference_mode()
    def _encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        embeddings = self._network(self._staging.frames(images))
        (spec,) = self._model.architecture.tensors
        if embeddings.shape[1:] != spec.shape[1:] or not bool(embeddings.isfinite().all()):
            raise EncodeFailed("the image encoder gave a result that is not a finite embedding")
        return self._staging.to_host(embeddings)


def load(model: Model, settings: Settings) -> TorchEncoder:
    """The encoder on the checkpoint's weights, ready; the decoder file that belongs to it is made if need be.

    Raises:
        ConfigurationError: the device that is asked for cannot be had, or is too small.
        WeightsError: the checkpoint is missing, damaged, of another model, or cannot be fetched.
    """
    torch.set_num_threads(settings.encoder_threads or usable_cores())
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.torch_dtype, device)
    path, model = locate_checkpoint(model, settings)
    sam = empty_sam(model.name)
    state = read_checkpoint(path, model.name, sam.state_dict())
    provide_decoder(model, state, settings)
    with explained_memory(device, model.name):
        network: Callable[[Tensor], Tensor] = Network(_on_device(sam.image_encoder, state, device), dtype)
        if settings.torch_compile != "off":
            network = torch.compile(network, mode=_COMPILE[settings.torch_compile], dynamic=False)
        result = torch.float16 if settings.embedding_dtype == "float16" else torch.float32
        batch = settings.encode_batch or (GPU_BATCH if device.type == "cuda" else 1)
        encoder = TorchEncoder(model, network, device, batch=batch, result=result)
        _log.info("%s in %s on %s, compile %s", model.name, dtype, device, settings.torch_compile)
        # A CPU has nothing to prepare, and would take as long for it as for an image.
        if device.type == "cuda" or settings.torch_compile != "off":
            encoder.warm_up()
    return encoder


def export_decoder(model: Model, settings: Settings) -> Model:
    """Make the decoder file of the checkpoint that the settings name, and return the model with its digest.

    Raises:
        WeightsError: as `load`.
    """
    path, model = locate_checkpoint(model, settings)
    state = read_checkpoint(path, model.name, empty_sam(model.name).state_dict())
    provide_decoder(model, state, settings)
    return model


def provide_decoder(model: Model, state: dict[str, Tensor], settings: Settings) -> None:
    """Have the decoder file of exactly this checkpoint where the API looks for it."""
    path = decoder_path(model, settings)
    try:
        if read_decoder(path, model).model == model:
            return
    except WeightsError:
        pass  # missing or damaged: made again
    write_decoder(path, model, decoder_arrays(state))
    _log.info("the mask decoder of this checkpoint is in %s", path)


def _on_device(image_encoder: Any, state: dict[str, Tensor], device: torch.device) -> Any:
    prefix = "image_encoder."
    own = {
        # Copied also on a CPU: what is mapped from the file would change, or crash, with the file.
        name.removeprefix(prefix): tensor.to(device, torch.float32, copy=True)
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    image_encoder.load_state_dict(own, strict=True, assign=True)
    fuse_attention(image_encoder)
    return image_encoder.eval().requires_grad_(False)
