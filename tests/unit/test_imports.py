"""Every module of this project can be the first one that a Python process imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOTS = {"": ("shared", "prompt_api", "encoder_worker", "deploy", "bench"), "client/src": ("samcache",)}
"""The packages by the folder that contains them."""

OWN = tuple(package for packages in ROOTS.values() for package in packages)

IMPORT_EACH = """
import contextlib, gc, importlib, os, sys, traceback

# What does not belong to this project is imported once, before any fork: each module below then starts from an
# interpreter that has none of the project's own modules, in a few milliseconds.
import flask, httpx, limits, numpy, onnx, onnxruntime, PIL.Image, prometheus_client, pycocotools.mask, pydantic, redis
import rq, torch, waitress
with contextlib.suppress(Exception):  # needs help of ours where torchvision lacks its operators
    import segment_anything
gc.disable()  # it would look through all of that again in each child

own = tuple(sys.argv[1].split(","))
failed = 0
for name in sys.argv[2:]:
    assert not [known for known in sys.modules if known.split(".")[0] in own]
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            print(f"import {name} fails:", flush=True)
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    failed += os.waitpid(child, 0)[1] != 0
sys.exit(min(failed, 100))
"""


def modules() -> list[str]:
    paths = [
        path.relative_to(ROOT / root)
        for root, packages in ROOTS.items()
        for package in packages
        for path in (ROOT / root / package).rglob("*.py")
    ]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return sorted(names - {name for name in names if name.endswith("__main__")})


def test_every_module_imports_alone_in_a_fresh_interpreter() -> None:
    found = modules()
    assert {"prompt_api.wiring", "encoder_worker.wiring", "shared.contract.models", "samcache.cli.main"} <= set(found)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_EACH, ",".join((*OWN, "tests")), *found],
        cwd=ROOT,
        env={"PYTHONPATH": os.pathsep.join(str(ROOT / root) for root in ROOTS), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
