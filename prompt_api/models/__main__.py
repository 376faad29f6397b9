"""`python -m prompt_api.models` builds the decoder of every served model in `SAM_WEIGHTS_DIR` and prints the folders.

Use it for container images and shared volumes: an API that finds its decoders there needs no weights and writes
nothing. A decoder that a worker hands over is left out while there is no such file: the API builds it when it starts.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from prompt_api.models.interface import DecoderForm
from prompt_api.models.load import load_decoder
from shared.contract.models import find_model
from shared.contract.settings import Settings
from shared.weights.catalogue import known_models
from shared.weights.command import print_folders
from shared.weights.decoder_file import decoder_path, is_handed_over

_log = logging.getLogger(__name__)


def _folders(settings: Settings) -> Iterator[Path]:
    """Build the decoder of every served model, and yield its folder."""
    known = known_models(settings)
    for name in settings.served_models:
        model = find_model(name, known)
        if is_handed_over(model) and not decoder_path(model, settings).is_file():
            _log.info("%s: left out, because its decoder comes from a worker when the service runs", name)
            continue
        files = load_decoder(model, settings).files
        if files:
            yield files[DecoderForm.PLAIN].parent


if __name__ == "__main__":
    sys.exit(print_folders(_folders))
