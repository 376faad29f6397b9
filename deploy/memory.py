"""`python -m deploy.memory`: the memory limits that the settings of the environment ask for.

The limits in the Compose files and in the Kubernetes manifests are those of this formula; a test compares them. Each
term is the most that one part of a service takes at a time. All terms are added, though they hardly ever meet.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from encoder_worker.decoding.buffers import KEPT_BYTES
from encoder_worker.decoding.decoder import MOST_AT_ONCE
from encoder_worker.decoding.processes import LOADED_AHEAD
from encoder_worker.encoding.pipeline import BATCHES
from prompt_api.everything.generate import MAX_BYTES
from prompt_api.everything.job.stored import LARGEST as LARGEST_MASKS
from prompt_api.http.answer_budget import MOST as MOST_ANSWERS
from prompt_api.remote_images.fetch import FETCHES
from prompt_api.service.searches import SEARCHES
from prompt_api.serving.body_budget import largest_body, most_bodies
from prompt_api.wiring import UPLOADS
from shared.contract.models import SAM2, find_model
from shared.contract.settings import Settings
from shared.images.reading import most_decoding_bytes
from shared.weights.catalogue import known_models

MIB = 1024 * 1024

STEP = 256 * MIB
"""Limits are multiples of this."""

HEADROOM = 1.1
"""For what the allocator cannot give back, and for what no term names."""

API_BASE = 280 * MIB
"""Of an API process that has answered a prompt with MobileSAM's decoder and keeps no image."""

KEPT = 1.25
"""What a byte in one of the caches takes, with what the allocator rounds up."""

DECODING = 64 * MIB
"""Working memory of one prompt in the decoder."""

WRITING_PER_PIXEL = 4.2
"""Bytes per pixel of the image while one mask is written. Measured: polygons of noise, on 50 megapixels."""

SEARCH = 48 * MIB
"""Masks that one search for similar objects holds, if all searches at once hold as many as they may together."""

COPIES = 2
"""An image that was fetched by its URL is in memory so many times, at the end; so are the masks of a mask worker."""

HANDED_OVER = 3
"""So is an image that a process decodes for a worker: in the worker, in the memory that both share, in the process."""

SMALL_ANSWERS = 64 * MIB
"""Room in `/tmp` for answers that do not count against the budget, and for the metrics that processes share."""

MASK_WORKER_BASE = 384 * MIB
"""Of a mask worker that has run a job with MobileSAM's decoder. Measured: 371 MiB, with two threads."""

WORKER_BASE = 600 * MIB
"""Of a worker that has encoded an image with MobileSAM on ONNX Runtime."""

SAM2_WORKER_BASE = 1024 * MIB
"""Of a worker that has encoded an image with SAM 2.1 without a GPU, without its weights. Measured: 975 MiB for tiny."""

GPU_WORKER_BASE = 4096 * MIB
"""Of torch with CUDA's libraries on the side of the host, and of the page-locked memory that images and embeddings are
copied through; four pictures that the GPU resizes take 256 MiB of it. An allowance: it was not measured."""

DECODING_PROCESS = 112 * MIB
"""Of a process that decodes for a worker: 40 MiB when it has started, and what it keeps of ordinary pictures."""

LARGEST_BATCH = 16
"""Images that the encoder of a worker on a GPU takes at once, as far as this formula goes."""

LOADING = 2
"""A checkpoint is in memory so many times while it is loaded."""

LARGEST_MODEL = "vit_h"
"""The model that the limit of a worker on a GPU is made for."""


def api_memory(settings: Settings, cores: int) -> int:
    """Return the limit in bytes of a container with all API processes. What is in its `/tmp` counts too.

    Args:
        cores: processor cores that the container may use.
    """
    caches = KEPT * (settings.embedding_lru_bytes + settings.logits_lru_bytes + settings.feature_lru_bytes)
    writing = DECODING + WRITING_PER_PIXEL * settings.max_image_pixels
    turns = max(1, cores // settings.decoder_threads)
    uploads = UPLOADS * settings.max_upload_bytes
    fetched = COPIES * FETCHES * settings.max_upload_bytes if settings.image_hosts else 0
    process = API_BASE + caches + turns * writing + SEARCHES * SEARCH + MOST_ANSWERS + uploads + fetched
    return _rounded(HEADROOM * settings.api_processes * process + api_tmp(settings))


def api_tmp(settings: Settings) -> int:
    """Return the size in bytes of that container's `/tmp`: all bodies, and once more the files in forms."""
    return settings.api_processes * (2 * most_bodies(largest_body(settings.max_upload_bytes)) + SMALL_ANSWERS)


def worker_memory(settings: Settings, cores: int) -> int:
    """Return the limit in bytes of a worker's container.

    Args:
        cores: processor cores that the container may use.
    """
    several = settings.device == "cuda" or settings.encode_batch > 1  # otherwise the worker decodes one image itself
    decoders = (settings.worker_decoders or min(MOST_AT_ONCE, cores)) if several else 0
    loading = (HANDED_OVER * decoders + LOADED_AHEAD) * settings.max_upload_bytes
    decoding = most_decoding_bytes(settings.max_image_pixels, settings.max_upload_bytes)
    model = find_model(settings.model, known_models(settings))
    weights = LOADING * model.checkpoint.size if model.checkpoint else 0
    without_gpu = SAM2_WORKER_BASE if model.architecture.name == SAM2.name else WORKER_BASE
    base = GPU_WORKER_BASE if settings.device == "cuda" else without_gpu
    frame = 3 * model.encoder_frame.side**2 * model.encoder_frame.pixels.itemsize
    frames = BATCHES * max(LARGEST_BATCH, settings.encode_batch) * frame
    processes = decoders * (DECODING_PROCESS + KEPT_BYTES) + frames if several else 0
    return _rounded(HEADROOM * (base + weights + decoding + loading + processes + settings.worker_picture_bytes))


def mask_worker_memory(settings: Settings, cores: int) -> int:
    """Return the limit in bytes of a mask worker's container.

    Args:
        cores: processor cores that the container may use.
    """
    threads = settings.everything_threads or cores
    answer = COPIES * LARGEST_MASKS  # the text of the masks, and the same deflated
    return _rounded(HEADROOM * (MASK_WORKER_BASE + MAX_BYTES + threads * DECODING + answer))


def gpu_worker_memory(settings: Settings, cores: int) -> int:
    """Return the limit in bytes of a worker on a GPU that may run any model."""
    return worker_memory(replace(settings, device="cuda", model=LARGEST_MODEL), cores)


def _rounded(size: float) -> int:
    return STEP * -int(-size // STEP)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.memory", description="Print the limits that settings need.")
    parser.add_argument("--api-cores", type=int, default=2, help="cores of an API container (API_CPUS)")
    parser.add_argument("--mask-worker-cores", type=int, default=2, help="cores of a mask worker's (MASK_WORKER_CPUS)")
    parser.add_argument("--worker-cores", type=int, default=2, help="cores of a worker's container (WORKER_CPUS)")
    cores = parser.parse_args(arguments)
    settings = Settings.from_env()
    limits = {
        "API_MEMORY": api_memory(settings, cores.api_cores),
        "API_TMP": api_tmp(settings),
        "MASK_WORKER_MEMORY": mask_worker_memory(settings, cores.mask_worker_cores),
        "WORKER_MEMORY": worker_memory(settings, cores.worker_cores),
        "GPU_WORKER_MEMORY": gpu_worker_memory(settings, cores.worker_cores),
    }
    for name, size in limits.items():
        print(f"{name}={size // MIB}m")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
