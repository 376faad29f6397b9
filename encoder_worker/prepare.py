"""`python -m encoder_worker.prepare`: get the files of every served model ready, before any service starts.

For each model of `SAM_MODEL` and `SAM_MODELS` it fetches weights that are missing, checks all weights, and writes the
decoder files that the API needs. It also reads the whole catalogue. It needs no Redis.

Exit status: 0 all is ready; 2 something is wrong, and one sentence says what.
"""

from __future__ import annotations

import sys

from encoder_worker.backends.load import export_decoder
from shared.contract.errors import SamCacheError
from shared.contract.models import find_model
from shared.contract.settings import Settings
from shared.observe import logs
from shared.weights.catalogue import known_models
from shared.weights.decoder_file import is_handed_over
from shared.weights.entry_files import identified
from shared.weights.locate import locate_weights


def main() -> int:
    try:
        settings = Settings.from_env()
        logs.configure(settings, "prepare")
        known = known_models(settings)
        for name in settings.served_models:
            model = find_model(name, known)
            if is_handed_over(model):
                export_decoder(model, settings)
            elif model.entry is not None:
                identified(model)
            elif model.encoder is not None:
                locate_weights(model, settings)
            sys.stdout.write(f"{name} is ready\n")
    except SamCacheError as error:
        sys.stderr.write(f"prepare: {error.detail}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
