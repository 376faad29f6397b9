"""Loads SAM 2's mask decoder from the file that the worker made of its checkpoint."""

from __future__ import annotations

from prompt_api.models.interface import LoadedDecoder
from prompt_api.models.sam2.decoder import Sam2Decoder
from prompt_api.models.sam2.network import NETWORK
from prompt_api.models.sam2.weights import from_checkpoint
from prompt_api.models.two_way.graph_cache import cached_graphs
from shared.contract.errors import WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import decoder_path, read_decoder


def load(model: Model, settings: Settings) -> LoadedDecoder:
    """The decoder on graphs that are built once per machine, in `SAM_WEIGHTS_DIR`. Browsers cannot decode with it.

    Raises:
        WeightsError: weights are missing, damaged or cannot be kept.
    """
    if model.checkpoint is None:
        raise WeightsError(f"model {model.name} has no mask decoder")
    file = read_decoder(decoder_path(model, settings), model)
    digest, arrays = file.model.weights_digest, file.arrays
    graphs = cached_graphs(NETWORK, lambda: from_checkpoint(arrays), digest, settings.weights_folder)
    return LoadedDecoder(file.model, Sam2Decoder.for_process(graphs, file.model, settings), graphs.unsplit)
