"""How fast GPUs encode: measured, or what others say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bench.shown import shown

WHOLE_WAY = "RQ to Redis"
"""The end of the name of the row that times the worker as it runs, from a queued job to the stored embedding."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A kind of GPU that encodes.

    Attributes:
        images_per_second: rate of one device.
        device: name of such devices, in the plural.
        source: where the rate comes from.
    """

    images_per_second: float
    device: str
    source: str


def measured() -> Encoder:
    """The device of the recorded run of `bench.encode`, at the rate of the whole worker on it."""
    record = json.loads(shown("encode").read_text())
    about, device = record["about"], record["about"]["device"].removeprefix("NVIDIA ")
    (rate,) = (row["images_per_second"] for row in record["rows"] if row["what"].endswith(WHOLE_WAY))
    source = (
        f"measured on {about['date'][:10]}: one worker on one {device}, compiled, from a queued job to the embedding"
    )
    return Encoder(rate, f"{device}s", source)


GPUS: Mapping[str, Encoder] = MappingProxyType(
    {
        "mobile_sam on GPUs": Encoder(
            1000 / 8, "GPUs", "assumed: 8 ms an image, the MobileSAM paper's figure for one GPU; not measured here"
        ),
        "vit_h on GPUs": measured(),
    }
)
