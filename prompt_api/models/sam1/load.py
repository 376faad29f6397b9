"""Loads SAM's mask decoder: from its own ONNX export, from safetensors, or from the file that a worker made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prompt_api.models.interface import LoadedDecoder, SplitDecoder
from prompt_api.models.sam1.entry_weights import read_entry
from prompt_api.models.sam1.graph_cache import cached_graphs
from prompt_api.models.sam1.onnx_decoder import OnnxDecoder
from prompt_api.models.sam1.weights import Weights, checked, read_export
from shared.contract.errors import WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.host.cores import usable_cores
from shared.weights.decoder_file import decoder_path, is_handed_over, read_decoder
from shared.weights.entry_files import decoder_of, identified, naming_the_entry
from shared.weights.locate import locate_weights


def load(model: Model, settings: Settings) -> LoadedDecoder:
    """The decoder on graphs that are built once per machine, in `SAM_WEIGHTS_DIR`.

    Raises:
        WeightsError: weights are missing, damaged or cannot be kept.
    """
    model, read_weights = _source(model, settings)
    # Weights are read only to build graphs: a machine that has the graphs of a built-in model needs no weights.
    graphs = cached_graphs(read_weights, model.weights_digest, settings.weights_folder, bundled=settings.bundled_folder)
    threads = settings.decoder_threads
    cores = max(threads, usable_cores())
    decoder = OnnxDecoder(graphs, weights_digest=model.weights_digest, threads=threads, cores=cores)
    return LoadedDecoder(model, decoder, graphs.unsplit, SplitDecoder(graphs.split_digest, graphs.split))


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
    path = decoder_path(model, settings)
    if model.entry is None:
        file = read_decoder(path, model)
        return file.model, lambda: checked(file.arrays)
    key, source = decoder_of(model)
    model = identified(model)
    with naming_the_entry(model, key):
        file = read_decoder(path, model)
        if file.model != model:
            raise WeightsError(
                f"{path} was made of another file than {source}: start a worker of {model.name} to make it again"
            )

    def read_weights() -> Weights:
        with naming_the_entry(model, key):
            return checked(file.arrays)

    return model, read_weights
