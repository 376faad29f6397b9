"""Reads the decoder file that a worker made of a checkpoint, for a model that is built in or of the catalogue."""

from __future__ import annotations

from shared.contract.errors import WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import DecoderFile, decoder_path, read_decoder
from shared.weights.entry_files import decoder_of, identified, naming_the_entry


def handed_over(model: Model, settings: Settings) -> DecoderFile:
    """Return the decoder file's content. For a model of the catalogue it must be made of the file that its entry names.

    Raises:
        WeightsError: the file is missing, damaged, of another model, or made of another checkpoint.
    """
    path = decoder_path(model, settings)
    if model.entry is None:
        return read_decoder(path, model)
    key, source = decoder_of(model)
    model = identified(model)
    with naming_the_entry(model, key):
        file = read_decoder(path, model)
        if file.model != model:
            raise WeightsError(
                f"{path} was made of another file than {source}: start a worker of {model.name} to make it again"
            )
    return file
