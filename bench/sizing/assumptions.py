"""What a plan starts from: what one of everything costs, what others say of GPUs, what annotators are assumed to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one of everything costs; `bench.sizing.recorded` has them as measured.

    Attributes:
        prompt_ms: processor time of a replica for a prompt on an image in its memory.
        first_ms: more for the first prompts on an image: fetching, preparing and the first one's longer way.
        gateway_ms: processor time of the gateway for a prompt.
        encode_ms: processor time of MobileSAM for an image.
        prepared_bytes: memory of an image in a replica.
        float16_bytes, int8_bytes: memory of an embedding in Redis, by how it is stored.
        answer_bytes: of three masks as RLE.
    """

    prompt_ms: float
    first_ms: float
    gateway_ms: float
    encode_ms: float
    prepared_bytes: float
    float16_bytes: float
    int8_bytes: float
    answer_bytes: float


@dataclass(frozen=True, slots=True)
class Encoder:
    """What encodes on a GPU.

    Attributes:
        images_per_second: of one device.
        device: what such devices are called.
        source: of the rate.
    """

    images_per_second: float
    device: str
    source: str


GPUS: Mapping[str, Encoder] = MappingProxyType(
    {
        "mobile_sam on GPUs": Encoder(
            1000 / 8, "GPUs", "assumed: 8 ms an image, the MobileSAM paper's figure for one GPU; not measured here"
        ),
        "vit_h on GPUs": Encoder(
            1000 / 48,
            "A100s",
            "assumed: 48 ms an image, segment-anything-fast's figure for an A100, bfloat16, compiled, batched; not "
            "measured here",
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What annotators do. All of it is assumed: put in your own.

    Attributes:
        annotators: active at the same time.
        prompts_per_second: of each.
        seconds_per_image: that each stays on an image.
        fresh: part of the visits that open an image for the first time: one half if each is annotated once and reviewed
            once.
        images_per_annotator: that the service should remember: a week of eight-hour days.
        cached: part of these that Redis has memory for.
        skew: of Zipf's law, by which images are opened again.
        upload_bytes: of a photo.
    """

    annotators: int
    prompts_per_second: float = 0.2
    seconds_per_image: float = 120.0
    fresh: float = 0.5
    images_per_annotator: float = 600.0
    cached: float = 1.0
    skew: float = 0.9
    upload_bytes: float = 1e6


CLICKING, HOVERING = 0.2, 3.0
"""Prompts per second: a click every five seconds; a preview under the pointer, a third of the time at ten a second."""

BUSY = 0.6
"""Part of a processor, a GPU or a network that is used: beyond, queues make latencies grow."""

NODE_BYTES = 50e9
"""Embeddings in one Redis: of a machine of 64 GB, what forks and buffers leave."""

NODE_BYTES_PER_SECOND = 1.25e9
"""Of a machine's network: 10 Gbit/s."""
