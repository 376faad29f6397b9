"""The client's wheel, installed alone in a project that has its own `shared` package, with a running service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy.local.stack import LocalStack
from tests.support.world import png

ROOT = Path(__file__).parents[2]
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""Without PYTHONPATH, because it may point to the packages of this checkout."""

BOUND = 300.0

OF_HTTPX = {"anyio", "certifi", "h11", "httpcore", "idna", "sniffio", "typing_extensions"}
"""The packages that httpx installs. Some are needed only for some versions of Python."""

INSTALLED = """
import importlib.metadata, json
print(json.dumps({found.name: found.requires for found in importlib.metadata.distributions()}))
"""

IMPORTED = """
import json, sys
import samcache
files = {name.partition(".")[0]: getattr(module, "__file__", None) for name, module in sys.modules.items()}
print(json.dumps([name for name, file in files.items() if "site-packages" in (file or "")]))
"""

EVERY_MODULE = """
import importlib, json, pkgutil, sys
import samcache
names = [module.name for module in pkgutil.walk_packages(samcache.__path__, "samcache.")]
for name in names:
    if name != "samcache.__main__":
        importlib.import_module(name)
print(json.dumps([names, sorted({"shared", "prompt_api", "encoder_worker"} & set(sys.modules))]))
"""

WHOLE_WAY = """
import json, sys
from pathlib import Path

import numpy as np

import prompt_api
import shared
from samcache import RemoteSamPredictor, SamCache

assert shared.OWNER == prompt_api.OWNER == "this project"

data = Path("photo.png").read_bytes()
with SamCache(sys.argv[1]) as service:
    image = service.wait(service.upload(data).image_id, data)
    answer = service.masks(image.image_id, [{"points": [[40, 30]], "labels": [1]}])
with RemoteSamPredictor(sys.argv[1]) as predictor:
    predictor.set_image_file("photo.png")
    masks, scores, logits = predictor.predict(np.array([[40, 30]]), np.array([1]))
print(json.dumps({
    "status": image.status,
    "areas": [mask.area for mask in answer.results[0]],
    "pixels": masks.sum(axis=(1, 2)).tolist(),
    "shapes": [masks.shape, scores.shape, logits.shape],
}))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the client's wheel and the packages that pip installs with it."""
    folder = tmp_path_factory.mktemp("alone")
    # Build in a copy: a build leaves files behind, and the next build would use them.
    leftovers = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "client", folder / "client", ignore=leftovers)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, folder / "client")
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "environment")
    constraints = ROOT / "constraints.txt"
    run(*pip, "--python", folder / "environment", "install", "--no-compile", "--constraint", constraints, wheel)
    return folder / "environment"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project with a photo and with packages that have the names of the service's packages."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("shared", "prompt_api"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text('OWNER = "this project"\n')
    (folder / "photo.png").write_bytes(png(120, 80))
    return folder


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with LocalStack({"SAM_MODEL": "fake"}) as stack:
        yield stack.url


def run(*command: object, cwd: Path | None = None, **environ: str) -> str:
    """Run the command and return its standard output."""
    done = subprocess.run(
        [*map(str, command)],
        env={**ENVIRON, **environ},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer_of(environment: Path, project: Path, code: str, *arguments: str) -> Any:
    """Run a script in the project and return the JSON that it prints."""
    script = project / "script.py"
    script.write_text(code)
    return json.loads(run(environment / "bin" / "python", script, *arguments, cwd=project))


def test_it_brings_three_libraries_and_what_they_need(environment: Path, project: Path) -> None:
    installed = answer_of(environment, project, INSTALLED)
    own = {"samcache", "numpy", "pillow", "httpx"}
    assert own <= set(installed) <= own | OF_HTTPX
    assert len([wanted for wanted in installed["samcache"] if "extra ==" not in wanted]) == 3


def test_importing_it_imports_numpy_and_pillow_alone(environment: Path, project: Path) -> None:
    """The import does not load httpx: a program that sends no request does not wait for it."""
    assert set(answer_of(environment, project, IMPORTED)) == {"samcache", "numpy", "PIL"}


def test_every_module_of_it_can_be_imported_there(environment: Path, project: Path) -> None:
    names, of_the_service = answer_of(environment, project, EVERY_MODULE)
    assert len(names) > 20
    assert of_the_service == []


def test_a_script_beside_a_package_named_shared_goes_the_whole_way(environment: Path, project: Path, url: str) -> None:
    found = answer_of(environment, project, WHOLE_WAY, url)
    assert found["status"] == "ready"
    assert found["areas"] == found["pixels"]
    assert min(found["areas"]) > 0
    assert found["shapes"] == [[3, 80, 120], [3], [3, 256, 256]]


@pytest.mark.parametrize("command", [["samcache"], ["python", "-m", "samcache"]], ids=["installed", "module"])
def test_the_command_works_there_too(environment: Path, project: Path, url: str, command: list[str]) -> None:
    program, *arguments = command
    segment = ["segment", "photo.png", "--point", "40,30", "-o", "mask.png", "--json"]
    (project / "mask.png").unlink(missing_ok=True)
    printed = run(environment / "bin" / program, *arguments, *segment, cwd=project, SAMCACHE_URL=url)
    result = json.loads(printed)
    with Image.open(project / "mask.png") as mask:
        assert np.asarray(mask).sum() == result["masks"][result["chosen"]]["area"]
