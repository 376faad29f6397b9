"""Loads SAM's mask decoder: from its own ONNX export, from safetensors, or from the file that a worker made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prompt_api.models.interface import LoadedDecoder, SplitDecoder
from prompt_api.models.sam1.decoder import Sam1Decoder
from prompt_api.models.sam1.entry_weights import read_entry
from prompt_api.models.sam1.export_form import in_export_form
from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.sam1.weights import checked, read_export
from prompt_api.models.two_way.graph_cache import cached_graphs
from prompt_api.models.two_way.handed_over import handed_over
from prompt_api.models.two_way.weights import Weights
from shared.contract.errors import WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import is_handed_over
from shared.weights.entry_files import decoder_of, identified, naming_the_entry
from shared.weights.locate import locate_weights


def load(model: Model, settings: Settings) -> LoadedDecoder:
    """The decoder on graphs that are built once per machine, in `SAM_WEIGHTS_DIR`.

    Raises:
        WeightsError: weights are missing, damaged or cannot be kept.
    """
    model, read_weights = _source(model, settings)
    # Weights are read only to build graphs: a machine that has the graphs of a built-in model needs no weights.
    graphs = cached_graphs(
        NETWORK,
        read_weights,
        model.weights_digest,
        settings.weights_folder,
        bundled=settings.bundled_folder,
        export_form=in_export_form,
    )
    decoder = Sam1Decoder.for_process(graphs, model, settings)
    return LoadedDecoder(model, decoder, graphs.files, SplitDecoder(graphs.split_digest, graphs.split))


def _source(model: Model, settings: Settings) -> tuple[Model, Callable[[], Weights]]:
    """Return the model with the digests of its weights, and a function that reads them."""
    if is_handed_over(model):
        return _handed_over(model, settings)
    if model.entry is not None:
        model = identified(model)
        return model, partial(read_entry, model)
    if model.decoder is not None:
        return model, lambda: read_export(locate_weights(model, settings).decoder)
    raise WeightsError(f"model {model.name} has no mask decoder")


def _handed_over(model: Model, settings: Settings) -> tuple[Model, Callable[[], Weights]]:
    """Return what `_source` does, from the file that a worker makes of a checkpoint."""
    file = handed_over(model, settings)

    def read_weights() -> Weights:
        with naming_the_entry(file.model, "weights" if model.entry is None else decoder_of(model)[0]):
            return checked(file.arrays)

    return file.model, read_weights
