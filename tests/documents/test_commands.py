"""Every block of commands in README and docs runs as it is printed, in a fresh copy of the checkout, with one service.

The service is the one that the README's own `make run` starts, with the model that needs no weights. The only change to
a block is the port of the service, because port 8000 may be taken. What cannot run here is named in `blocks.NOT_RUN`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.shown import ROOT
from deploy.local.ports import free_port
from tests.documents.blocks import COMMANDS, NOT_RUN, OTHERS, PAGES, Block, blocks_of, commands, copy_of_checkout

START = Block("README.md", 0, "sh", "make run")
PRINTED = "127.0.0.1:8000"
BLOCKS = [block for block in commands() if not block.text.startswith(START.text)]
RUN = [block for block in BLOCKS if not block.not_run]
READ = [block for block in BLOCKS if block.not_run]


@dataclass(frozen=True, slots=True)
class Fresh:
    """A copy of the checkout, and a service that `make run` serves from it.

    Attributes:
        folder: where commands run.
        address: host and port of the service.
        environ: what commands run with.
    """

    folder: Path
    address: str
    environ: dict[str, str]

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Run a block to its end. A command that fails ends it."""
        text = block.text.replace(PRINTED, self.address)
        command = ["bash", "-euo", "pipefail", "-c", text] if block.language == "sh" else ["python", "-c", text]
        return subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    if shutil.which("curl") is None:
        if os.environ.get("CI") or os.environ.get("EXPECT_CURL"):
            pytest.fail("curl is not installed")
        pytest.skip("curl is not installed")
    scratch = tmp_path_factory.mktemp("fresh")
    folder = copy_of_checkout(scratch)
    _give_environment(folder)
    port = free_port()
    # curl calls an answer of 4xx or 5xx a success by itself.
    (scratch / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SAM", "MAKE"))}
    environ |= {
        "PATH": f"{folder / '.venv/bin'}:{environ['PATH']}",
        "PYTHONPATH": f"{folder}:{folder / 'client/src'}",
        "CURL_HOME": str(scratch),
        "SAMCACHE_URL": f"http://127.0.0.1:{port}",
    }
    service = {**environ, "PORT": str(port), "SAM_MODEL": "fake"}
    with subprocess.Popen(
        ["bash", "-c", START.text],
        cwd=folder,
        env=service,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        said = Said(process)
        said.until_it_serves()
        yield Fresh(folder, f"127.0.0.1:{port}", environ)
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        assert "stopped, nothing left running" in said.text()


class Said:
    """What `make run` prints, read as it comes, so that the service never waits for its reader."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._serves_or_ended = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until_it_serves(self) -> None:
        """Wait until the service says that it serves. Its end before that fails the test."""
        self._serves_or_ended.wait()
        if not any(line.startswith("Serving at") for line in self._lines):
            pytest.fail(f"`{START.text}` ended:\n{self.text()}")

    def text(self) -> str:
        """All of it. It waits for the end."""
        self._reader.join()
        return "".join(self._lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if line.startswith("Serving at"):
                self._serves_or_ended.set()
        self._serves_or_ended.set()


def _give_environment(folder: Path) -> None:
    """Let `.venv` be the environment of the tests, as if the copy's own `make setup` had installed it."""
    environment, own = Path(sys.executable).parents[1], folder / ".venv"
    own.mkdir()
    for name in ("bin", "lib"):
        (own / name).symlink_to(environment / name)
    if (environment / "pyvenv.cfg").exists():
        shutil.copy(environment / "pyvenv.cfg", own)
    for stamp in (".created", ".serving", ".developing"):
        (own / stamp).touch()


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_runs_as_it_is_printed(fresh: Fresh, block: Block) -> None:
    done = fresh.run(block)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "curl http://127.0.0.1:8000/v1/images/6d0f",
        "curl http://127.0.0.1:8000/healthz; false; true",
        "samcache upload no.jpg",
    ],
)
def test_a_command_that_is_refused_or_fails_fails_its_block(fresh: Fresh, command: str) -> None:
    assert fresh.run(Block("a.md", 1, "sh", command)).returncode != 0


@pytest.mark.parametrize("block", READ, ids=str)
def test_a_block_that_cannot_run_here_names_what_exists(block: Block) -> None:
    """Its syntax, its targets of make, its extras and its files are right."""
    assert subprocess.run(["bash", "-n"], input=block.text, text=True, check=False).returncode == 0
    for target in re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE):
        dry = subprocess.run(["make", "-n", target], cwd=ROOT, check=False, capture_output=True, text=True)
        assert dry.returncode == 0, dry.stderr
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for asked in re.findall(r"'\.\[([\w,-]+)\]'", block.text):
        assert set(asked.split(",")) <= set(extras)
    for path in re.findall(r"(?<![\w/.])(?:\./)?((?:deploy|client|docs)(?:/[\w.-]+)*)(?![\w-])", block.text):
        # The last part may be a file that the block itself writes.
        assert (ROOT / path).exists() or (ROOT / path).parent.is_dir(), path


def test_every_command_that_is_not_run_is_in_a_block() -> None:
    assert {start for block in BLOCKS for start in block.not_run} == set(NOT_RUN)


def test_the_readme_begins_with_the_commands_that_are_known_to_run() -> None:
    starts = [block for block in commands() if block.text.startswith(START.text)]
    assert [block.page for block in starts] == [START.page]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_a_language_that_is_known(page: str) -> None:
    text = (ROOT / page).read_text()
    blocks = blocks_of(page, text)
    assert {block.language for block in blocks} <= {*COMMANDS, *OTHERS}
    assert 2 * len(blocks) == text.count("```"), "a fence is not closed, or is not indented like its end"


def test_blocks_are_found_with_their_place_and_without_their_indentation() -> None:
    text = "a\n\n```sh\nmake run\n```\n\n1. b\n\n   ```python\n   if x:\n       y\n   ```\n"
    assert blocks_of("a.md", text) == [
        Block("a.md", 4, "sh", "make run\n"),
        Block("a.md", 10, "python", "if x:\n    y\n"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ls\ndocker compose up\n", ["docker"]),
        ("SAM_MODEL=vit_h python -m encoder_worker\n", ["SAM_MODEL=vit_h"]),
        ("A=1 kubectl get pods && docker ps\n", ["kubectl"]),
        ("echo docker\n", []),
    ],
)
def test_a_command_that_is_not_run_is_known_by_how_it_begins(text: str, found: list[str]) -> None:
    assert Block("a.md", 1, "sh", text).not_run == found
