"""The commands that the service tells people to type."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.local.photo import PHOTO
from deploy.local.process import ROOT
from deploy.local.run import TOKEN_VARIABLE, how_to_try
from encoder_worker.backends import load
from samcache.cli import arguments
from shared.contract.errors import ConfigurationError
from shared.contract.models import VIT_B


def commands(text: str) -> list[list[str]]:
    """Return the commands among the lines, as a shell splits them."""
    joined = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in joined if line.startswith("  ") and line.strip()]


def test_a_missing_runtime_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("no torch", name="torch")

    monkeypatch.setattr(load, "import_module", missing)
    with pytest.raises(ConfigurationError) as refusal:
        load.load_encoder(VIT_B, None)  # type: ignore[arg-type]  # nothing is read before the import
    said, _, command = refusal.value.detail.partition("run: ")
    assert said.startswith("vit_b needs torch, which is not installed")
    python, *words = shlex.split(command)
    assert python == sys.executable  # not any other pip that is on the PATH
    assert words[:5] == ["-m", "pip", "install", "--constraint", "constraints.txt"]
    assert (ROOT / "constraints.txt").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert words[5:] == project["optional-dependencies"]["torch"]


def test_without_tokens_the_lines_to_try_have_none() -> None:
    upload, prompt = commands(how_to_try("http://127.0.0.1:8000", with_token=False))
    assert "Authorization" not in " ".join(upload + prompt)
    assert (ROOT / upload[2].removeprefix("@")).samefile(PHOTO)
    assert json.loads(prompt[prompt.index("-d") + 1])["prompts"]


def test_with_tokens_the_lines_to_try_send_one() -> None:
    export, upload, prompt = commands(how_to_try("http://127.0.0.1:8000", with_token=True))
    assert export[0] == "export"
    variable = export[1].partition("=")[0]
    for command in (upload, prompt):
        assert command[command.index("-H") + 1] == f"Authorization: Bearer ${variable}"


def test_the_token_of_those_lines_is_the_one_that_the_command_line_reads() -> None:
    assert TOKEN_VARIABLE == arguments.TOKEN_VARIABLE
    assert Path(arguments.__file__).is_relative_to(ROOT)
