"""The decoder of a model, ready for prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompt_api.models.fake import FakeDecoder
from prompt_api.models.interface import Decoder
from prompt_api.models.sam1.graph_cache import DecoderGraphs, cached_graphs
from prompt_api.models.sam1.onnx_decoder import OnnxDecoder
from prompt_api.models.sam1.weights import checked, read_export
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.host.cores import usable_cores
from shared.weights.decoder_file import decoder_path, read_decoder
from shared.weights.locate import locate_weights


@dataclass(frozen=True, slots=True, eq=False)
class LoadedDecoder:
    """A model as this process serves it.

    Attributes:
        model: the model, with the digest of the weights in use. Every key of an embedding contains that digest.
        decoder: its decoder, ready for prompts.
        graphs: the decoder's files, for clients; None for a model without weights.
    """

    model: Model
    decoder: Decoder[Any]
    graphs: DecoderGraphs | None

    @property
    def graph(self) -> Path | None:
        """The file of the unsplit graph, or None for a model without weights."""
        return None if self.graphs is None else self.graphs.unsplit


def load_decoder(model: Model, settings: Settings) -> LoadedDecoder:
    """Load the model's decoder, from its own ONNX export or from the file that the worker made of its checkpoint.

    Graphs are built once per machine, in `SAM_WEIGHTS_DIR`. No session is made yet, so the process may still fork.

    Raises:
        WeightsError: weights are missing or damaged, or files cannot be written.
    """
    if model.checkpoint is not None:
        file = read_decoder(decoder_path(model, settings), model)
        model = file.model
        graphs = cached_graphs(lambda: checked(file.arrays), model.weights_digest, settings.weights_folder)
    elif model.decoder is not None:
        # Weights are located only to build the graphs: a machine that has the graphs needs no weights.
        graphs = cached_graphs(
            lambda: read_export(locate_weights(model, settings).decoder),
            model.weights_digest,
            settings.weights_folder,
        )
    else:
        return LoadedDecoder(model, FakeDecoder(), None)
    threads = settings.decoder_threads
    cores = max(threads, usable_cores())
    decoder = OnnxDecoder(graphs, weights_digest=model.weights_digest, threads=threads, cores=cores)
    return LoadedDecoder(model, decoder, graphs)
