"""Loads SAM 2's mask decoder from the file that the worker made of its checkpoint."""

from __future__ import annotations

from prompt_api.models.interface import LoadedDecoder
from prompt_api.models.sam2.decoder import Sam2Decoder
from prompt_api.models.sam2.network import NETWORK
from prompt_api.models.sam2.weights import from_checkpoint
from prompt_api.models.two_way.graph_cache import cached_graphs
from prompt_api.models.two_way.handed_over import handed_over
from prompt_api.models.two_way.weights import Weights
from shared.contract.errors import WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.entry_files import naming_the_entry


def load(model: Model, settings: Settings) -> LoadedDecoder:
    """The decoder on graphs that are built once per machine, in `SAM_WEIGHTS_DIR`. Browsers cannot decode with it.

    Raises:
        WeightsError: weights are missing, damaged or cannot be kept.
    """
    if model.checkpoint is None:
        raise WeightsError(f"model {model.name} has no mask decoder")
    file = handed_over(model, settings)

    def read_weights() -> Weights:
        with naming_the_entry(file.model, "weights"):
            return from_checkpoint(file.arrays)

    digest = file.model.weights_digest
    graphs = cached_graphs(NETWORK, read_weights, digest, settings.weights_folder, bundled=settings.bundled_folder)
    return LoadedDecoder(file.model, Sam2Decoder.for_process(graphs, file.model, settings), graphs.files)
