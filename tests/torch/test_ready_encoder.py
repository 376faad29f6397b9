"""How a network is made ready: what is compiled and kept, and which batch is chosen."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from encoder_worker.backends.on_torch import compiling
from encoder_worker.backends.on_torch.compiling import compiled_or_not, keep_compiled, mode_of
from encoder_worker.backends.on_torch.knee import best_batch, largest_that_fits
from encoder_worker.backends.on_torch.start import Place, ready_encoder
from encoder_worker.backends.on_torch.trial import tried_batch
from encoder_worker.backends.sam1.blocks import Stage, fuse_blocks
from encoder_worker.backends.sam1.network import Network
from shared.contract.errors import EncodeFailed
from shared.contract.models import VIT_B
from shared.contract.settings import Settings
from tests.support.small_sam import deep_image_encoder, randomise

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
GIGA = 10**9


@pytest.fixture(autouse=True)
def compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what was compiled, and where it is kept."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", os.environ.get("TORCHINDUCTOR_CACHE_DIR", ""))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compile_parts", lambda parts, mode: None)


class Flat(nn.Module):
    """A network without weights, as `ready_encoder` wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    @property
    def parts(self) -> list[nn.Module]:
        return [self]

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        self.sizes.append(len(frames))
        return {"embedding": frames.mean((1, 2, 3)).view(-1, 1, 1, 1).expand(-1, 256, 64, 64).contiguous()}


def test_the_compiler_is_on_where_there_is_a_gpu() -> None:
    assert (mode_of("auto", CUDA), mode_of("auto", CPU)) == ("default", None)
    assert mode_of("off", CUDA) is None
    assert mode_of("max-autotune", CPU) == "max-autotune-no-cudagraphs"


@pytest.mark.parametrize(
    ("free", "image", "most", "batch"),
    [(100 * GIGA, GIGA // 4, 16, 16), (3 * GIGA, GIGA // 2, 16, 4), (GIGA, 2 * GIGA, 16, 1), (GIGA, 0, 8, 8)],
)
def test_the_largest_batch_fits_the_free_memory(free: int, image: int, most: int, batch: int) -> None:
    assert largest_that_fits(free, image, most) == batch


@pytest.mark.parametrize(
    ("rates", "batch"),
    [
        ({1: 50.3, 2: 54.6, 4: 57.5, 8: 57.8}, 4),  # ViT-H, compiled, on an H200; 2 was not measured
        ({1: 10, 2: 20, 4: 40, 8: 80, 16: 160}, 16),
        ({1: 10, 2: 10}, 1),
    ],
)
def test_the_smallest_batch_is_taken_whose_double_is_hardly_faster(rates: dict[int, float], batch: int) -> None:
    tried: list[int] = []

    def seconds_of(size: int) -> float:
        tried.append(size)
        return size / rates[size]

    assert best_batch(16, seconds_of) == batch
    assert tried == [size for size in rates if size <= 2 * batch]


def test_on_a_cpu_nothing_is_prepared(tmp_path: Path) -> None:
    network = Flat()
    encoder = ready_encoder(VIT_B, Settings(weights_dir=str(tmp_path)), Place(CPU, torch.float32), lambda: network)
    assert (encoder.batch, network.sizes) == (1, [])
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_compiling")
def test_every_size_of_batch_is_prepared_before_the_first_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = Flat()
    with caplog.at_level(logging.INFO):
        encoder = ready_encoder(
            VIT_B,
            Settings(weights_dir=str(tmp_path), torch_compile="default", encode_batch=5),
            Place(CPU, torch.float32),
            lambda: network,
        )
    assert (encoder.batch, network.sizes) == (4, [1, 2, 4])
    said = [record.getMessage() for record in caplog.records]
    assert any("the first time it takes minutes, later seconds, because it is kept in" in line for line in said)
    assert sum("ready for batches of" in line for line in said) == 3
    assert any("compiled, batches of up to 4, after" in line for line in said)


def test_a_network_that_cannot_be_compiled_runs_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = Flat()
    runs: list[bool] = []

    def no_compiler(parts: list[nn.Module], mode: str) -> None:
        for part in parts:
            part._compiled_call_impl = fails

    def fails(*_: Any) -> None:
        raise RuntimeError("Failed to find C compiler.\nA page more")

    def try_out() -> None:
        runs.append(network._compiled_call_impl is not None)
        network(torch.zeros(1, 3, 2, 2))

    monkeypatch.setattr(compiling, "compile_parts", no_compiler)
    assert not compiled_or_not([network], "default", try_out)
    assert runs == [True, False]
    assert "cannot be compiled here, so it runs about a third slower: Failed to find C compiler." in caplog.text
    assert "A page more" not in caplog.text


@pytest.mark.usefixtures("no_compiling")
def test_a_network_that_never_works_is_an_error() -> None:
    def try_out() -> None:
        raise EncodeFailed("no good")

    with pytest.raises(EncodeFailed):
        compiled_or_not([Flat()], "default", try_out)


@pytest.mark.usefixtures("no_compiling")
def test_too_little_memory_is_no_reason_to_run_without_the_compiler() -> None:
    runs: list[int] = []

    def try_out() -> None:
        runs.append(1)
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        compiled_or_not([Flat()], "default", try_out)
    assert runs == [1]


def test_what_is_compiled_is_kept_beside_the_weights(tmp_path: Path) -> None:
    folder = keep_compiled(tmp_path)
    assert folder is not None
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
    assert folder.parent == tmp_path / "compiled"
    assert folder.stat().st_mode & 0o077 == 0
    assert not list(folder.iterdir())


@pytest.mark.parametrize("fault", ["writable by all", "a file", "full"])
def test_a_folder_that_cannot_be_used_is_no_error(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiled = tmp_path / "compiled"
    if fault == "a file":
        compiled.write_bytes(b"")
    elif fault == "writable by all":
        compiled.mkdir()
        compiled.chmod(0o777)
    else:

        def full(**_: Any) -> Any:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(compiling.tempfile, "NamedTemporaryFile", full)
    assert keep_compiled(tmp_path) is None
    instead = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert instead.is_dir()
    assert not instead.is_relative_to(tmp_path)
    assert "cannot be kept for the next start" in caplog.text


def test_the_equal_stages_of_a_network_are_compiled_once() -> None:
    encoder = deep_image_encoder()
    randomise(encoder, seed=1)
    fuse_blocks(encoder)
    network = Network(encoder.eval().requires_grad_(False), torch.float32)
    assert [type(part) for part in network.parts] == [Stage] * 4
    graphs: list[int] = []

    def count(graph: Any, _: Any) -> Any:
        graphs.append(1)
        return graph.forward

    for part in network.parts:
        part.compile(backend=count, dynamic=False)
    frames = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        compiled = network(frames)["embedding"]
        assert len(graphs) == 1
        in_thread(lambda: network(frames))  # that of the pipeline, which does not wait for a compiler
        assert len(graphs) == 1
        for part in network.parts:
            part._compiled_call_impl = None
        torch.testing.assert_close(compiled, network(frames)["embedding"])


def in_thread(run: Callable[[], object]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(torch.inference_mode()(run)).result()


TWICE = """
import sys, torch
from encoder_worker.backends.on_torch.compiling import compile_parts, keep_compiled
from pathlib import Path
from torch._dynamo.utils import counters

class Part(torch.nn.Module):
    def forward(self, x):
        return x.sin() + 1

assert keep_compiled(Path(sys.argv[1]))
for start in range(2):
    torch._dynamo.reset()  # what only this process knows
    part = Part()
    compile_parts([part], "default")
    with torch.inference_mode():
        part(torch.ones(2, 8))
print(*(counters["inductor"][f"fxgraph_cache_{one}"] for one in ("miss", "hit")))
"""


@pytest.mark.skipif(
    "EXPECT_COMPILER" not in os.environ, reason="ten seconds of a C++ compiler; EXPECT_COMPILER=1 runs it"
)
def test_the_next_start_reads_what_the_first_one_compiled(tmp_path: Path) -> None:
    """Of a GPU's compiler too; only its code is another."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TORCHINDUCTOR")}
    done = subprocess.run(
        [sys.executable, "-c", TWICE, str(tmp_path)],
        cwd=ROOT,
        # A header that is compiled ahead would take longer than all the rest.
        env=environ | {"TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0", "TORCHINDUCTOR_COMPILE_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert done.stdout.split() == ["1", "1"]
    assert any((tmp_path / "compiled").rglob("*.so"))


class FakeGpu:
    """As much of `torch.cuda` as the choice of a batch asks. An image takes a gigabyte."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        for name, value in (
            ("reset_peak_memory_stats", None),
            ("memory_allocated", 3 * GIGA),
            ("memory_reserved", 4 * GIGA),
            ("max_memory_allocated", 4 * GIGA),
            ("mem_get_info", (free, 80 * GIGA)),
        ):
            monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)


class Timed:
    """An encoder that only says how many images it was given at once."""

    model = VIT_B

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def try_out(self, images: list[np.ndarray]) -> None:
        self.sizes.append(len(images))


def test_on_a_gpu_the_batch_grows_as_far_as_memory_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeGpu(monkeypatch, free=4 * GIGA)
    encoder = Timed()
    monkeypatch.setattr("encoder_worker.backends.on_torch.trial._best_seconds", lambda _, size: 1.0)
    note = tmp_path / "batch.json"
    assert tried_batch(encoder, 0, CUDA, note) == 4  # type: ignore[arg-type]
    assert note.read_text() == '{"batch": 4}'


@pytest.mark.parametrize("note", ['{"batch": 2}', '{"batch": 200}', "{", "[]", None])
def test_a_batch_that_was_found_before_is_not_looked_for_again(
    note: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeGpu(monkeypatch, free=40 * GIGA)
    looked: list[int] = []
    monkeypatch.setattr(
        "encoder_worker.backends.on_torch.trial._best_seconds", lambda _, size: looked.append(size) or 1.0
    )
    path = tmp_path / "batch.json"
    if note is not None:
        path.write_text(note)
    encoder = Timed()
    batch = tried_batch(encoder, 0, CUDA, path)  # type: ignore[arg-type]
    if note == '{"batch": 2}':
        assert (batch, encoder.sizes, looked) == (2, [1, 2], [])
    else:
        assert (batch, looked) == (16, [1, 2, 4, 8, 16])
