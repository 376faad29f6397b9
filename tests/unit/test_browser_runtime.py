"""onnxruntime-web is fetched once, verified and compressed."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from prompt_api.models.browser_runtime import RUNTIME, BrowserRuntime, compressed, locate_runtime
from shared.contract.errors import WeightsError
from shared.contract.models import WeightsFile
from shared.contract.settings import Settings

FILES = {"ort.mjs": b"export {};\n" * 500, "ort.wasm": b"\0asm" * 5_000}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tarball() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in {**FILES, "ort.webgpu.mjs": b"not wanted"}.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


TARBALL = _tarball()
TINY = BrowserRuntime(
    version="9.9.9",
    size=len(TARBALL),
    sha256=_sha256(TARBALL),
    files=tuple(
        WeightsFile(name, f"package/dist/{name}", len(content), _sha256(content)) for name, content in FILES.items()
    ),
)


@dataclass
class Bench:
    """A folder for weights, and a fake `npm` that delivers one tarball and counts its calls."""

    settings: Settings
    log: Path

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def locate(self) -> Path:
        return locate_runtime(self.settings, TINY)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    (tmp_path / "bin").mkdir()
    (tmp_path / "tarball").write_bytes(TARBALL)
    npm = tmp_path / "bin" / "npm"
    npm.write_text(
        f"#!{sys.executable}\n"
        "import shutil, sys\n"
        f"open({str(tmp_path / 'calls')!r}, 'a').write(' '.join(sys.argv[1:3]) + '\\n')\n"
        f"shutil.copy({str(tmp_path / 'tarball')!r}, 'onnxruntime-web-9.9.9.tgz')\n"
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return Bench(Settings(weights_dir=str(tmp_path / "weights")), tmp_path / "calls")


def test_it_is_fetched_once_with_nothing_beside_what_browsers_load(bench: Bench) -> None:
    folder = bench.locate()
    assert bench.locate() == folder
    assert bench.calls == ["pack onnxruntime-web@9.9.9"]
    assert {path.name for path in folder.iterdir()} == {f"{name}.gz" for name in FILES}


def test_it_is_kept_compressed(bench: Bench) -> None:
    folder = bench.locate()
    for name, content in FILES.items():
        packed = compressed(folder, name).read_bytes()
        assert len(packed) < len(content)
        assert gzip.decompress(packed) == content


@pytest.mark.parametrize("damaged", ["ort.mjs.gz", "ort.wasm.gz"])
@pytest.mark.parametrize("damage", [b"", b"something else", None], ids=["empty", "changed", "missing"])
def test_a_damaged_file_is_fetched_again(bench: Bench, damaged: str, damage: bytes | None) -> None:
    path = bench.locate() / damaged
    whole = path.read_bytes()
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    bench.locate()
    assert path.read_bytes() == whole
    assert len(bench.calls) == 2


def test_a_compressed_copy_that_breaks_off_is_made_again(bench: Bench) -> None:
    path = compressed(bench.locate(), "ort.wasm")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    bench.locate()
    assert path.read_bytes() == whole


def test_another_tarball_is_refused(bench: Bench) -> None:
    bench.log.with_name("tarball").write_bytes(TARBALL + b"!")
    with pytest.raises(WeightsError, match=r"onnxruntime-web@9.9.9 is not what .* SHA-256"):
        bench.locate()


def test_without_npm_the_reason_is_a_sentence_about_this_package(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(WeightsError) as caught:
        bench.locate()
    assert caught.value.detail == "npm, which fetches onnxruntime-web@9.9.9, is not installed: install Node.js"


def test_the_notice_names_the_version_that_is_served() -> None:
    notice = Path(__file__).parents[2].joinpath("NOTICE").read_text()
    assert f"onnxruntime-web {RUNTIME.version}" in notice
