"""Hands SAM's mask decoder in a checkpoint to API processes without torch, as a decoder file."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor

from encoder_worker.backends.sam1.checkpoint_file import decoder_arrays, empty_sam, read_checkpoint
from shared.contract.errors import WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import PREFIXES, decoder_path, read_decoder, write_decoder
from shared.weights.entry_files import decoder_of, naming_the_entry

_ANY_NETWORK = "vit_b"
"""The mask decoder is the same in every network of SAM."""

_log = logging.getLogger(__name__)


def provide_from_checkpoint(model: Model, settings: Settings) -> None:
    """Write the decoder file of a model of the catalogue whose mask decoder is in a checkpoint of its own.

    Raises:
        WeightsError: the checkpoint is damaged, holds more than tensors, or has no mask decoder of SAM.
    """
    if _is_provided(model, settings):
        return
    key, path = decoder_of(model)
    whole = empty_sam(_ANY_NETWORK).state_dict()
    expected = {name: tensor for name, tensor in whole.items() if name.startswith(PREFIXES)}
    with naming_the_entry(model, key):
        state = read_checkpoint(path, _ANY_NETWORK, expected)
    _write(model, state, settings)


def provide_decoder(model: Model, state: Mapping[str, Tensor], settings: Settings) -> None:
    """Write the decoder file of exactly this checkpoint where the API looks for it, unless it is there already."""
    if not _is_provided(model, settings):
        _write(model, state, settings)


def _is_provided(model: Model, settings: Settings) -> bool:
    try:
        return read_decoder(decoder_path(model, settings), model).model == model
    except WeightsError:
        return False  # it is missing or damaged


def _write(model: Model, state: Mapping[str, Tensor], settings: Settings) -> None:
    path = decoder_path(model, settings)
    write_decoder(path, model, decoder_arrays(state))
    _log.info("the mask decoder of this checkpoint is in %s", path)
