"""What a plan starts from: the costs of one of everything, and what annotators are assumed to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one prompt, one image and one encoding cost. `bench.sizing.recorded` has the measured values.

    Attributes:
        prompt_ms: processor time of a replica for a prompt on an image in its memory.
        first_ms: processor time that the first prompts on an image cost more: the replica fetches and prepares it.
        gateway_ms: processor time of the gateway for a prompt.
        encode_ms: processor time of MobileSAM for an image.
        prepared_bytes: memory of an image in a replica.
        float16_bytes, int8_bytes: memory of an embedding in Redis, by how it is stored.
        answer_bytes: bytes of an answer with three masks as RLE.
    """

    prompt_ms: float
    first_ms: float
    gateway_ms: float
    encode_ms: float
    prepared_bytes: float
    float16_bytes: float
    int8_bytes: float
    answer_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What annotators do. All defaults are assumptions: replace them by your own numbers.

    Attributes:
        annotators: number that are active at the same time.
        prompts_per_second: of each annotator.
        seconds_per_image: how long an annotator stays on an image.
        fresh: fraction of the visits that open an image for the first time. It is one half if each image is annotated
            once and reviewed once.
        images_per_annotator: number that the service should remember; the default is a week of eight-hour days.
        cached: fraction of these that Redis has memory for.
        skew: exponent of Zipf's law, by which images are opened again.
        upload_bytes: size of a photo.
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
"""Prompts per second: a click every five seconds; previews under the pointer, ten a second for a third of the time."""

BUSY = 0.6
"""The fraction of a processor, a GPU or a network that a plan uses. Beyond it, queues make latencies grow."""

NODE_BYTES = 50e9
"""Bytes of embeddings in one Redis: what forks and buffers leave of a machine with 64 GB."""

NODE_BYTES_PER_SECOND = 1.25e9
"""Bytes per second of a machine's network of 10 Gbit/s."""
