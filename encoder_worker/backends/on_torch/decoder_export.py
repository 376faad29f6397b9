"""Hands a checkpoint's mask decoder to API processes without torch, as a decoder file."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor

from shared.contract.errors import WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import decoder_path, read_decoder, write_decoder

_log = logging.getLogger(__name__)


def provide_decoder(model: Model, state: Mapping[str, Tensor], settings: Settings) -> None:
    """Write the decoder file of exactly this checkpoint where the API looks for it, unless it is there already.

    Args:
        model: with the digest of the checkpoint.
        state: the tensors of its prompt encoder and mask decoder, by the names that the file has.

    Raises:
        WeightsError: the folder is not writable.
    """
    if is_provided(model, settings):
        return
    path = decoder_path(model, settings)
    write_decoder(path, model, {name: tensor.float().numpy() for name, tensor in state.items()})
    _log.info("the mask decoder of this checkpoint is in %s", path)


def is_provided(model: Model, settings: Settings) -> bool:
    """Return whether the decoder file of exactly this checkpoint is there, and whole."""
    try:
        return read_decoder(decoder_path(model, settings), model).model == model
    except WeightsError:
        return False  # it is missing or damaged
