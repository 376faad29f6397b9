"""Keeps built decoder graphs on disk, in folders named by digests of the weights and of the code that built them."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import onnx

from prompt_api.models.interface import DecoderForm
from prompt_api.models.onnx.shared_constants import share_constants
from prompt_api.models.two_way import image_side, mask_side, points_side, prompt_side, unsplit
from prompt_api.models.two_way.folding import Folded
from prompt_api.models.two_way.network import Network
from prompt_api.models.two_way.weights import Weights
from shared.contract.errors import WeightsError
from shared.host.atomic_file import replacing
from shared.weights.fetch import explained_errors, fetch_lock, sha256_of

BUILDERS = (
    "onnx/graph",
    "onnx/shared_constants",
    "two_way/folding",
    "two_way/image_side",
    "two_way/image_source",
    "two_way/image_update",
    "two_way/mask_side",
    "two_way/network",
    "two_way/points_side",
    "two_way/prompt_side",
    "two_way/prompt_tokens",
    "two_way/token_side",
    "two_way/unsplit",
    "two_way/upscaling",
    "two_way/weights",
)
"""The modules of `prompt_api/models` that decide what a graph is. A change in one makes the kept graphs stale."""

OWN = ("export_form", "network", "weights")
"""The same in the folder of an architecture, where it has them."""

_SPLIT = ("image_side", "mask_side", "prompt_side", "first_prompt", "points_side", "mask_of_point")

_KEPT = 2
"""How many decoders of the same weights are kept: this version's, and the last one used before it, for a rollback."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DecoderGraphs:
    """The ONNX files of one model's decoder.

    Attributes:
        unsplit: the whole decoder in standard operators, for clients, and as the oracle of the tests.
        export_form: the same in the form of segment_anything's own ONNX export; None if there is no such form. It reads
            most of its constants from the file of `unsplit`: see `shared_constants.joined`.
        image_side, mask_side, prompt_side: the split decoder, for ONNX Runtime only, which also runs in browsers.
        first_prompt: the prompt side for the first prompt on an image. It reads most of its constants from the file of
            `prompt_side`.
        points_side, mask_of_point: the prompt side for many prompts of one point each; they read their constants from
            there too.
    """

    unsplit: Path
    export_form: Path | None
    image_side: Path
    mask_side: Path
    prompt_side: Path
    first_prompt: Path
    points_side: Path
    mask_of_point: Path

    @property
    def files(self) -> dict[DecoderForm, Path]:
        """The whole decoder, in each form that clients can have."""
        files = {DecoderForm.PLAIN: self.unsplit}
        if self.export_form is not None:
            files[DecoderForm.META] = self.export_form
        return files

    @property
    def split(self) -> dict[str, Path]:
        """The files of the split decoder, by the names of its parts."""
        return {path.stem: path for path in (self.image_side, self.mask_side, self.prompt_side)}

    @property
    def split_digest(self) -> str:
        """A digest of the split decoder's content, 32 characters of lower-case hex, made from the recorded digests."""
        records = "\n".join(_record(path).read_text(encoding="ascii") for path in self.split.values())
        return hashlib.sha256(records.encode()).hexdigest()[:32]


def cached_graphs(
    network: Network,
    read_weights: Callable[[], Weights],
    weights_digest: str,
    folder: Path,
    *,
    bundled: Path | None = None,
    export_form: Callable[[bytes], bytes] | None = None,
) -> DecoderGraphs:
    """Return the graphs in `folder`, checked against their recorded digests. Build them if missing, stale or damaged.

    Safe for processes that start together: one builds, the others wait for it.

    Args:
        network: the form of the decoder.
        read_weights: returns the weights; called only if the graphs must be built.
        weights_digest: digest of the weights, lower-case hex.
        folder: where the decoders of all models are kept.
        bundled: a folder of built decoders that is looked at first and never written, or None.
        export_form: makes the form of segment_anything's own export from the bytes of `DecoderGraphs.unsplit`.

    Raises:
        WeightsError: the weights cannot be read, or the folder cannot be written.
    """
    name = f"decoder-{weights_digest[:16]}-{_builder_version(network)}"
    if bundled is not None:
        graphs = _graphs_in(bundled / name, exported=export_form is not None)
        with explained_errors(bundled):
            if _sound(graphs):
                return graphs
    home = folder / name
    graphs = _graphs_in(home, exported=export_form is not None)
    with explained_errors(home):
        if not _sound(graphs):
            with fetch_lock(home):
                if not _sound(graphs):  # another process may have built them while this one waited
                    _log.info("building the mask decoder in %s", home)
                    _build(network, read_weights(), graphs, export_form)
            _prune(home)
        with suppress(OSError):  # a read-only folder is fine
            os.utime(home)
    return graphs


def _graphs_in(home: Path, *, exported: bool) -> DecoderGraphs:
    return DecoderGraphs(
        home / "decoder.onnx",
        home / "export_form.onnx" if exported else None,
        *(home / f"{name}.onnx" for name in _SPLIT),
    )


def _builder_version(network: Network) -> str:
    digest = hashlib.sha256(onnx.__version__.encode())
    models = Path(__file__).resolve().parents[1]
    files = [models / f"{name}.py" for name in BUILDERS]
    own = models / network.architecture.name
    files += sorted(own / f"{name}.py" for name in OWN if (own / f"{name}.py").exists())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _build(
    network: Network, weights: Weights, graphs: DecoderGraphs, export_form: Callable[[bytes], bytes] | None
) -> None:
    folded = Folded(network, weights)
    graphs.unsplit.parent.mkdir(parents=True, exist_ok=True)
    whole = unsplit.build_unsplit(network, weights).SerializeToString()
    own = prompt_side.build_prompt_side(folded).SerializeToString()
    reading = {
        graphs.first_prompt: prompt_side.build_first_prompt(folded),
        graphs.points_side: points_side.build_points_side(folded),
        graphs.mask_of_point: points_side.build_mask_of_point(folded),
    }
    for model in reading.values():
        share_constants(model, own, graphs.prompt_side.name)
    built = [
        (graphs.unsplit, whole),
        (graphs.image_side, image_side.build_image_side(folded).SerializeToString()),
        (graphs.mask_side, mask_side.build_mask_side(folded).SerializeToString()),
        (graphs.prompt_side, own),
        *((path, model.SerializeToString()) for path, model in reading.items()),
    ]
    if graphs.export_form is not None and export_form is not None:
        exported = onnx.load_from_string(export_form(whole))
        share_constants(exported, whole, graphs.unsplit.name)
        built.append((graphs.export_form, exported.SerializeToString()))
    for path, content in built:
        with replacing(_record(path)) as record:
            record.write(hashlib.sha256(content).hexdigest().encode())
        with replacing(path) as graph:
            graph.write(content)


def _prune(home: Path) -> None:
    """Remove decoders of the same weights that other versions built. Keep the most recently used."""
    weights, _, _ = home.name.rpartition("-")
    others = [folder for folder in home.parent.glob(f"{weights}-*") if folder != home]
    others.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in others[_KEPT - 1 :]:
        with suppress(WeightsError), fetch_lock(folder, timeout=0):  # skip a decoder that is being built
            shutil.rmtree(folder, ignore_errors=True)


def _sound(graphs: DecoderGraphs) -> bool:
    paths = (getattr(graphs, field.name) for field in fields(graphs))
    try:
        return all(_record(path).read_text(encoding="ascii") == sha256_of(path) for path in paths if path is not None)
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _record(path: Path) -> Path:
    return path.with_suffix(".sha256")
