"""`python -m encoder_worker.export_decoder`: hand the checkpoint's mask decoder to API processes without torch.

It writes `SAM_WEIGHTS_DIR/<SAM_MODEL>/decoder.npz`, 16 MB, and prints its path. A worker does the same when it
starts; this is for an API that shares no folder with a worker.
"""

from __future__ import annotations

import sys

from encoder_worker.backends.load import export_decoder
from shared.contract.errors import SamCacheError
from shared.contract.models import find_model
from shared.contract.settings import Settings
from shared.observe import logs
from shared.weights.catalogue import known_models
from shared.weights.decoder_file import decoder_path


def main() -> int:
    """Exit status: 0, or 2 with one sentence that says what is wrong."""
    try:
        settings = Settings.from_env()
        logs.configure(settings, "export_decoder")
        model = find_model(settings.model, known_models(settings))
        export_decoder(model, settings)
    except SamCacheError as error:
        sys.stderr.write(f"export_decoder: {error.detail}\n")
        return 2
    sys.stdout.write(f"{decoder_path(model, settings)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
