"""What one prompt, one image and one encoding cost, from the recorded runs."""

from __future__ import annotations

import json

from bench.record import Record
from bench.shown import shown
from bench.sizing.assumptions import Costs
from bench.summary import FOLDER

SCALE, PROMPT = shown("scale").name, shown("prompt").name
"""The runs in `bench/results/` that plans are based on: those that the documents show."""

_MIB = 2**20


def recorded(name: str) -> Record:
    return Record.from_json(json.loads((FOLDER / name).read_text()))


def recorded_costs() -> Costs:
    """The costs, with times rounded to two digits: more would promise too much."""
    scale, prompt = recorded(SCALE), recorded(PROMPT)
    return Costs(
        prompt_ms=_rounded(scale.number("a", "1 replica", "replicas")),
        first_ms=_rounded(scale.number("a", "a prompt, one at a time", "more")),
        gateway_ms=_rounded(scale.number("a", "1 replica", "gateway")),
        encode_ms=_rounded(scale.number("e", "mobile_sam", "processor time")),
        prepared_bytes=_MIB * prompt.number("h", "float16", "in an API process"),
        float16_bytes=_MIB * prompt.number("h", "float16", "in Redis"),
        int8_bytes=_MIB * prompt.number("h", "int8", "in Redis"),
        answer_bytes=1000 * prompt.number("b", "its stages, one core each", "answer"),
    )


def _rounded(number: float) -> float:
    return float(f"{number:.2g}")
