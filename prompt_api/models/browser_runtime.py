"""onnxruntime-web, which runs the mask decoder in browsers: fetched once per machine, verified, kept compressed."""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from shared.contract.models import WeightsFile
from shared.contract.settings import Settings
from shared.host.atomic_file import replacing
from shared.weights.command import print_folders
from shared.weights.fetch import explained_errors, fetch_files, fetch_lock


@dataclass(frozen=True, slots=True)
class BrowserRuntime:
    """A version of onnxruntime-web.

    Attributes:
        version: of the npm package.
        size: bytes of its tarball.
        sha256: lower-case hex digest of its tarball.
        files: the files of the package that browsers load.
    """

    version: str
    size: int
    sha256: str
    files: tuple[WeightsFile, ...]


def _file(name: str, size: int, sha256: str) -> WeightsFile:
    return WeightsFile(name=name, member=f"package/dist/{name}", size=size, sha256=sha256)


RUNTIME = BrowserRuntime(
    version="1.30.0",
    size=33_106_585,
    sha256="d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
    files=(
        _file("ort.wasm.min.mjs", 50_126, "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b"),
        _file("ort-wasm-simd-threaded.mjs", 24_381, "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"),
        _file(
            "ort-wasm-simd-threaded.wasm",
            14_239_897,
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        ),
        _file("ort.webgpu.min.mjs", 66_349, "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0"),
        _file(
            "ort-wasm-simd-threaded.asyncify.mjs",
            53_057,
            "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
        ),
        _file(
            "ort-wasm-simd-threaded.asyncify.wasm",
            26_781_914,
            "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
        ),
    ),
)
"""The version that the page is made for. There are two builds, one for the processor and one for WebGPU. Each has three
files: the interface, the script that starts the WebAssembly and its threads, and the WebAssembly."""


def locate_runtime(settings: Settings, runtime: BrowserRuntime = RUNTIME) -> Path:
    """Return the folder that holds the runtime's files as `.gz`, with every byte checked. Fetch it if it is missing.

    Only compressed files are kept: every browser accepts them, and they are a quarter of the size. The folder is in
    `SAM_BUNDLED_DIR` or `SAM_WEIGHTS_DIR`, and its name contains the version. Processes that start together fetch once.

    Raises:
        WeightsError: the files cannot be fetched or written.
    """
    name = f"onnxruntime-web-{runtime.version}"
    if settings.bundled_folder is not None and _sound(settings.bundled_folder / name, runtime):
        return settings.bundled_folder / name
    folder = settings.weights_folder / name
    if not _sound(folder, runtime):
        with fetch_lock(folder):
            if not _sound(folder, runtime):  # another process may have fetched it while this one waited
                package = f"onnxruntime-web@{runtime.version}"
                fetch_files(package, runtime.files, folder, size=runtime.size, sha256=runtime.sha256)
                with explained_errors(folder):
                    for file in runtime.files:
                        _compress(folder / file.name)
    return folder


def compressed(folder: Path, name: str) -> Path:
    """Return the path of a file of the runtime."""
    return folder / f"{name}.gz"


def _sound(folder: Path, runtime: BrowserRuntime) -> bool:
    with explained_errors(folder):
        try:
            return all(_unpacked_sha256(compressed(folder, file.name)) == file.sha256 for file in runtime.files)
        except FileNotFoundError:
            return False


def _unpacked_sha256(path: Path) -> str:
    try:
        with gzip.open(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return ""


def _compress(path: Path) -> None:
    """Replace a file by its compressed copy, which is written whole or not at all."""
    with replacing(compressed(path.parent, path.name)) as file:
        file.write(gzip.compress(path.read_bytes(), 9, mtime=0))
    path.unlink()


if __name__ == "__main__":
    sys.exit(print_folders(lambda settings: [locate_runtime(settings)]))
