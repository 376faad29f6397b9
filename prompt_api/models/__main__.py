"""`python -m prompt_api.models` builds the decoder of every served model in `SAM_WEIGHTS_DIR` and prints the folders.

Use it for container images and shared volumes: an API that finds its decoders there needs no weights and writes
nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from prompt_api.models.interface import DecoderForm
from prompt_api.models.load import load_decoder
from shared.contract.models import find_model
from shared.contract.settings import Settings
from shared.weights.command import print_folders


def _folders(settings: Settings) -> Iterator[Path]:
    """Build the decoder of every served model, and yield its folder."""
    for name in settings.served_models:
        files = load_decoder(find_model(name), settings).files
        if files:
            yield files[DecoderForm.PLAIN].parent


if __name__ == "__main__":
    sys.exit(print_folders(_folders))
