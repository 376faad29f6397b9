"""`python -m prompt_api.decoder` builds the decoder of every served model in `SAM_WEIGHTS_DIR` and prints the folders.

For container images and shared volumes: an API that finds its decoders there needs no weights and writes nothing.
"""

from __future__ import annotations

import logging
import sys

from prompt_api.decoder.load import load_decoder
from shared.errors import SamCacheError
from shared.models import find_model
from shared.settings import Settings


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = Settings.from_env()
        for name in settings.served_models:
            loaded = load_decoder(find_model(name), settings)
            if loaded.graph is not None:
                sys.stdout.write(f"{loaded.graph.parent}\n")
    except SamCacheError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
