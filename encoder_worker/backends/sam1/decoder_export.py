"""Hands SAM's mask decoder in a checkpoint of its own to API processes without torch."""

from __future__ import annotations

from encoder_worker.backends.on_torch.decoder_export import is_provided, provide_decoder
from encoder_worker.backends.sam1.checkpoint_file import empty_sam, read_checkpoint
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import PREFIXES
from shared.weights.entry_files import decoder_of, naming_the_entry

_ANY_NETWORK = "vit_b"
"""The mask decoder is the same in every network of SAM."""


def provide_from_checkpoint(model: Model, settings: Settings) -> None:
    """Write the decoder file of a model of the catalogue whose mask decoder is in a checkpoint of its own.

    Raises:
        WeightsError: the checkpoint is damaged, holds more than tensors, or has no mask decoder of SAM.
    """
    if is_provided(model, settings):
        return
    key, path = decoder_of(model)
    whole = empty_sam(_ANY_NETWORK).state_dict()
    expected = {name: tensor for name, tensor in whole.items() if name.startswith(PREFIXES)}
    with naming_the_entry(model, key):
        state = read_checkpoint(path, _ANY_NETWORK, expected)
    provide_decoder(model, state, settings)
