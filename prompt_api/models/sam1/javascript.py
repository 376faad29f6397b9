"""`python -m prompt_api.models.sam1.javascript` writes the constants of SAM that the page's own decoder needs.

Python is their only source. The written module is committed, because browsers load it without a build step. A test
checks that it is up to date.
"""

from __future__ import annotations

import json
from pathlib import Path

from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.two_way.folding import FIRST_COLUMNS, HEADS, INTERNAL, MASK_ROWS, WIDTH
from prompt_api.models.two_way.image_side import FIRST_FEATURES, Feature
from shared.contract.models import SAM1

PATH = Path(__file__).resolve().parents[2] / "web" / "local" / "sam1.js"

_PLACED = 2
"""How many features, the first in order, carry the positions of their places."""


def javascript() -> str:
    """Return the text of the module."""
    names = [feature.name.lower() for feature in Feature]
    constants = (
        ("FRAME_SIDE", SAM1.frame.side, "Side in pixels of the square, zero-padded frame that the image encoder sees."),
        ("LOW_RES_SIDE", SAM1.low_res_side, "Side in pixels of the low-res logits, which cover the padded frame."),
        ("EMBEDDING_SHAPE", SAM1.tensors[0].shape, "Batch, channels, rows and columns of an image embedding."),
        ("GRID", NETWORK.grid, "Rows and columns of an image embedding."),
        ("WIDTH", WIDTH, "Channels of tokens and of image features."),
        ("HEADS", (HEADS, INTERNAL // HEADS), "Heads of an attention, and the channels of each."),
        ("MASK_ROWS", MASK_ROWS, "Rows that a mask prompt adds to the image's update."),
        ("MASK_UPDATES", sum(FIRST_COLUMNS), "Numbers in each of these rows."),
        ("PLACED", names[:_PLACED], "Image features that carry the positions of their places."),
        ("PLAIN", names[_PLACED:], "The other image features."),
        (
            "WITH_MASK",
            [feature.name.lower() for feature in FIRST_FEATURES],
            "Image features that a mask prompt changes.",
        ),
    )
    head = "/** Constants of SAM, written by `python -m prompt_api.models.sam1.javascript`. Do not edit. */\n"
    return head + "".join(
        f"\n/** {text} */\nexport const {name} = {_literal(value)};\n" for name, value, text in constants
    )


def _literal(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else json.dumps(value, indent=2).replace("\n]", ",\n]")


if __name__ == "__main__":
    PATH.write_text(javascript(), encoding="utf-8")
