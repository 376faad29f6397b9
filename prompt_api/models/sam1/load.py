"""Loads SAM's mask decoder from its own ONNX export, or from the file that the worker made of its checkpoint."""

from __future__ import annotations

from prompt_api.models.interface import LoadedDecoder, SplitDecoder
from prompt_api.models.sam1.decoder import Sam1Decoder
from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.sam1.weights import checked, read_export
from prompt_api.models.two_way.graph_cache import cached_graphs
from shared.contract.errors import WeightsError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import decoder_path, read_decoder
from shared.weights.locate import locate_weights


def load(model: Model, settings: Settings) -> LoadedDecoder:
    """The decoder on graphs that are built once per machine, in `SAM_WEIGHTS_DIR`.

    Raises:
        WeightsError: weights are missing, damaged or cannot be kept.
    """
    if model.checkpoint is not None:
        file = read_decoder(decoder_path(model, settings), model)
        model = file.model
        graphs = cached_graphs(NETWORK, lambda: checked(file.arrays), model.weights_digest, settings.weights_folder)
    elif model.decoder is not None:
        # Weights are looked for only to build graphs: a machine that has the graphs needs no weights.
        graphs = cached_graphs(
            NETWORK,
            lambda: read_export(locate_weights(model, settings).decoder),
            model.weights_digest,
            settings.weights_folder,
        )
    else:
        raise WeightsError(f"model {model.name} has no mask decoder")
    decoder = Sam1Decoder.for_process(graphs, model, settings)
    return LoadedDecoder(model, decoder, graphs.unsplit, SplitDecoder(graphs.split_digest, graphs.split))
