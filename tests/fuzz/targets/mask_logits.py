"""`mask_logits`: base64 of 256x256 finite float16 is read exactly, and everything else is an invalid prompt."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np

from prompt_api.masks.encode import base64_logits
from prompt_api.wire.requests import parse_mask_logits
from shared.contract.errors import InvalidPrompt
from shared.contract.models import SAM1

_BYTES = 256 * 256 * 2


def check(data: bytes) -> None:
    """Check the bytes as text, and also as the start of the numbers of a whole array, written as base64."""
    _check_text(data.decode("utf-8", "replace"))
    whole = (data[:_BYTES] + bytes(_BYTES))[:_BYTES]
    _check_text(base64.b64encode(whole).decode())


def seeds() -> Iterator[bytes]:
    yield b""
    yield np.linspace(-30, 30, 64, dtype="<f2").tobytes()
    yield np.array([65504, -65504, 6e-8, -0.0, np.inf, -np.inf, np.nan], "<f2").tobytes()
    yield base64.b64encode(bytes(96))
    yield "0123456789+/==\u00e9\ud7ff".encode()


def _check_text(text: str) -> None:
    try:
        logits = parse_mask_logits(text, "prompts/0", SAM1.low_res_side)
    except InvalidPrompt:
        return
    assert (logits.shape, logits.dtype) == ((256, 256), np.float32)
    assert np.isfinite(logits).all()
    raw = base64.b64decode(text)
    assert np.array_equal(logits.astype("<f2").tobytes(), raw)
    assert base64.b64decode(base64_logits(logits)) == raw
