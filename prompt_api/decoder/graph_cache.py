"""Built decoder graphs on disk, under the digest of their weights and of the code that built them."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import onnx

from prompt_api.decoder import (
    folding,
    graph,
    image_side,
    image_update,
    mask_side,
    prompt_side,
    prompt_tokens,
    token_side,
    unsplit,
)
from prompt_api.decoder.folding import Folded
from prompt_api.decoder.weights import Weights
from shared.weights_fetch import explained_errors, fetch_lock, sha256_of

_BUILDERS: tuple[ModuleType, ...] = (
    folding,
    graph,
    image_side,
    image_update,
    mask_side,
    prompt_side,
    prompt_tokens,
    token_side,
    unsplit,
)
"""The modules that decide what a graph is: a change in any of them makes the kept graphs stale."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DecoderGraphs:
    """The ONNX files of one model's decoder.

    Attributes:
        unsplit: the whole decoder in standard operators, for browsers and as the oracle.
        image_side, mask_side, prompt_side: the split decoder; for ONNX Runtime only.
    """

    unsplit: Path
    image_side: Path
    mask_side: Path
    prompt_side: Path


def cached_graphs(read_weights: Callable[[], Weights], weights_digest: str, folder: Path) -> DecoderGraphs:
    """The graphs in `folder`, checked against their recorded digests; built when missing, stale or damaged.

    Safe for processes that start together: one builds, the others wait for it.

    Args:
        read_weights: called only when the graphs must be built.
        weights_digest: names the weights, lower-case hex.
        folder: where decoders are kept, whatever their model.

    Raises:
        WeightsError: the weights cannot be read, or the folder cannot be written.
    """
    home = folder / f"decoder-{weights_digest[:16]}-{_builder_version()}"
    graphs = DecoderGraphs(*(home / f"{name}.onnx" for name in ("decoder", "image_side", "mask_side", "prompt_side")))
    with explained_errors(home):
        if not _sound(graphs):
            with fetch_lock(home):
                if not _sound(graphs):  # not built while this process waited
                    _log.info("building the mask decoder in %s", home)
                    _build(read_weights(), graphs)
    return graphs


def _builder_version() -> str:
    digest = hashlib.sha256(onnx.__version__.encode())
    for module in _BUILDERS:
        assert module.__file__ is not None
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:12]


def _build(weights: Weights, graphs: DecoderGraphs) -> None:
    folded = Folded(weights)
    graphs.unsplit.parent.mkdir(parents=True, exist_ok=True)
    for path, model in (
        (graphs.unsplit, unsplit.build_unsplit(weights)),
        (graphs.image_side, image_side.build_image_side(folded)),
        (graphs.mask_side, mask_side.build_mask_side(folded)),
        (graphs.prompt_side, prompt_side.build_prompt_side(folded)),
    ):
        content = model.SerializeToString()
        _replace(_record(path), hashlib.sha256(content).hexdigest().encode())
        _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sound(graphs: DecoderGraphs) -> bool:
    paths = (graphs.unsplit, graphs.image_side, graphs.mask_side, graphs.prompt_side)
    try:
        return all(_record(path).read_text(encoding="ascii") == sha256_of(path) for path in paths)
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _record(path: Path) -> Path:
    return path.with_suffix(".sha256")
