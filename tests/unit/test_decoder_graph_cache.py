"""Graphs on disk are built once, checked, rebuilt when damaged, and safe if two processes build at once."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from prompt_api.models.onnx.shared_constants import joined
from prompt_api.models.sam1.export_form import in_export_form
from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.two_way import graph_cache
from prompt_api.models.two_way.folding import Folded
from prompt_api.models.two_way.graph_cache import BUILDERS, cached_graphs
from prompt_api.models.two_way.points_side import build_points_side
from prompt_api.models.two_way.prompt_side import build_first_prompt
from shared.contract.errors import WeightsError
from shared.weights.fetch import fetch_lock
from tests.unit.decoder_material import random_weights

DIGEST = "ab" * 32


class CountedWeights:
    """Weights that count how often they are read."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> dict[str, NDArray[np.float32]]:
        self.reads += 1
        return random_weights()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with graphs of `DIGEST`, for tests that only read it or a copy of it. To build takes a second."""
    folder = tmp_path_factory.mktemp("built")
    cached_graphs(NETWORK, random_weights, DIGEST, folder)
    return folder


def test_graphs_are_built_once(tmp_path: Path) -> None:
    weights = CountedWeights()
    first, second = (cached_graphs(NETWORK, weights, DIGEST, tmp_path) for _ in range(2))
    assert first == second
    assert weights.reads == 1


def test_other_weights_have_other_graphs(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "copy")
    one, other = (cached_graphs(NETWORK, random_weights, digest, folder) for digest in (DIGEST, "cd" * 32))
    assert one.prompt_side.parent != other.prompt_side.parent


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None], ids=["empty", "overwritten", "missing"])
def test_a_damaged_graph_is_built_again(built: Path, tmp_path: Path, damage: bytes | None) -> None:
    weights, folder = CountedWeights(), shutil.copytree(built, tmp_path / "copy")
    path = cached_graphs(NETWORK, weights, DIGEST, folder).prompt_side
    assert weights.reads == 0
    sound = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert cached_graphs(NETWORK, weights, DIGEST, folder).prompt_side.read_bytes() == sound
    assert weights.reads == 1


def test_two_that_start_together_build_once(tmp_path: Path) -> None:
    weights, start = CountedWeights(), Barrier(2)

    def build(_: int) -> Path:
        start.wait(60)
        return cached_graphs(NETWORK, weights, DIGEST, tmp_path).unsplit

    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(build, range(2)))
    assert paths[0] == paths[1]
    assert weights.reads == 1


def test_nothing_is_left_beside_the_graphs(tmp_path: Path) -> None:
    names = {"decoder", "image_side", "mask_side", "prompt_side", "first_prompt", "points_side", "mask_of_point"}
    for export_form, more in ((None, set()), (in_export_form, {"export_form"})):
        folder = tmp_path / str(len(more))
        home = cached_graphs(NETWORK, random_weights, DIGEST, folder, export_form=export_form).unsplit.parent
        files = {f"{name}.{end}" for name in names | more for end in ("onnx", "sha256")}
        assert {path.name for path in home.iterdir()} == files


@pytest.mark.parametrize(("build", "name"), [(build_first_prompt, "first_prompt"), (build_points_side, "points_side")])
def test_other_graphs_read_their_constants_from_the_prompt_side(
    build: Callable[[Folded], onnx.ModelProto], name: str, built: Path
) -> None:
    graphs = cached_graphs(NETWORK, random_weights, DIGEST, built)
    whole, path = build(Folded(NETWORK, random_weights())), getattr(graphs, name)
    read = onnx.load(path)
    assert [one.raw_data for one in read.graph.initializer] == [one.raw_data for one in whole.graph.initializer]
    assert path.stat().st_size < whole.ByteSize() / 3
    for path in (graphs.unsplit, *graphs.split.values()):
        assert not [one for one in onnx.load(path, load_external_data=False).graph.initializer if one.external_data]


def test_the_export_form_is_joined_from_two_files(tmp_path: Path) -> None:
    graphs = cached_graphs(NETWORK, random_weights, DIGEST, tmp_path, export_form=in_export_form)
    assert graphs.export_form is not None
    assert graphs.export_form.stat().st_size < graphs.unsplit.stat().st_size / 10
    whole = onnx.load_from_string(in_export_form(graphs.unsplit.read_bytes())).graph
    read = onnx.load_from_string(joined(graphs.export_form)).graph
    assert [one.raw_data for one in read.initializer] == [one.raw_data for one in whole.initializer]
    assert not [one for one in read.initializer if one.external_data]


def test_a_folder_that_cannot_be_used_is_a_weights_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="ascii")
    with pytest.raises(WeightsError):
        cached_graphs(NETWORK, random_weights, DIGEST, tmp_path / "file")


def test_the_last_used_decoder_of_another_version_is_kept(tmp_path: Path) -> None:
    versions = [tmp_path / f"decoder-{DIGEST[:16]}-{version}" for version in ("older", "last", "oldest")]
    for used, folder in zip((200, 300, 100), versions, strict=True):
        folder.mkdir()
        os.utime(folder, (used, used))
    other_weights = tmp_path / "decoder-0123-older"
    other_weights.mkdir()
    home = cached_graphs(NETWORK, random_weights, DIGEST, tmp_path).unsplit.parent
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {home, versions[1], other_weights}


def test_a_decoder_that_is_being_built_is_left_alone(tmp_path: Path) -> None:
    versions = [tmp_path / f"decoder-{DIGEST[:16]}-{version}" for version in ("last", "older")]
    for used, folder in zip((200, 100), versions, strict=True):
        folder.mkdir()
        os.utime(folder, (used, used))
    with fetch_lock(versions[1]):
        cached_graphs(NETWORK, random_weights, DIGEST, tmp_path)
    assert versions[1].is_dir()


def test_using_a_decoder_makes_it_the_last_used(tmp_path: Path) -> None:
    home = cached_graphs(NETWORK, random_weights, DIGEST, tmp_path).unsplit.parent
    os.utime(home, (100, 100))
    cached_graphs(NETWORK, random_weights, DIGEST, tmp_path)
    assert home.stat().st_mtime > 100


def test_every_module_that_decides_what_a_graph_is_makes_kept_graphs_stale() -> None:
    models = Path(graph_cache.__file__).parents[1]
    pattern = re.compile(r"^from prompt_api\.models\.(\w+)\.(\w+) import", re.MULTILINE)
    found = [pattern.findall((models / f"{module}.py").read_text()) for module in BUILDERS]
    imported = {f"{folder}/{name}" for names in found for folder, name in names}
    assert "onnx/graph" in imported
    assert imported <= set(BUILDERS)
