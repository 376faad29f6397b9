"""What comes from Redis, from clients and from files is data: it is never run, and never says where to connect."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from encoder_worker.rq.job import EncodeJob
from shared import rq_queue
from shared.errors import EncodeFailed
from shared.keys import ENCODE_FUNCTION

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "prompt_api", "encoder_worker")
FILES = [path.relative_to(ROOT).as_posix() for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

RUNS_DATA = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "runpy"}
CONNECTS = {"urllib.request", "http.client", "ftplib", "requests", "urllib3", "aiohttp", "httpx"}

ONLY_ITS_ERROR = {"encoder_worker/backends/sam1/checkpoint_file.py"}
"""Names the error of a file that is not loaded; `torch.load` itself is told to take weights alone."""

CONNECTS_BY_DESIGN = ("prompt_api/client/", "prompt_api/label_studio/", "shared/download.py")
"""The clients; Label Studio's adapter, held to the configured host by its own tests; pinned weights."""


def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imported(file: str) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def calls(file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what is called, its constant keyword arguments)."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            constants = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
            yield ast.unparse(node.func), {str(name): value for name, value in constants.items()}


def test_nothing_is_unpickled_or_evaluated() -> None:
    assert len(FILES) > 100
    for file in set(FILES) - ONLY_ITS_ERROR:
        assert not RUNS_DATA.intersection(name.partition(".")[0] for name in imported(file)), file
        assert not {"eval", "exec", "compile", "__import__"}.intersection(name for name, _ in calls(file)), file


def test_the_exception_uses_pickles_error_and_nothing_else() -> None:
    (file,) = ONLY_ITS_ERROR
    used = {ast.unparse(node) for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute)}
    assert {name for name in used if name.startswith("pickle.")} == {"pickle.UnpicklingError"}


def test_arrays_and_checkpoints_are_loaded_without_objects() -> None:
    safe = {
        "np.load": ("allow_pickle", False),
        "NpzFile": ("allow_pickle", False),
        "torch.load": ("weights_only", True),
    }
    found = [(name, constants) for file in FILES for name, constants in calls(file) if name in safe]
    assert found
    for name, constants in found:
        argument, value = safe[name]
        assert constants.get(argument) is value, name


def test_nothing_that_serves_or_encodes_can_fetch_a_url() -> None:
    for file in FILES:
        assert file.startswith(CONNECTS_BY_DESIGN) or not CONNECTS.intersection(imported(file)), file


def test_jobs_are_json_wherever_a_queue_is_made() -> None:
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Queue", "Job.fetch", "Job.create", "Worker"):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given.get("serializer") == "JSONSerializer", (file, ast.unparse(node))
    assert rq_queue.JSONSerializer is JSONSerializer


@pytest.mark.parametrize(
    "function", ["os.system", "builtins.eval", "encoder_worker.rq.job.EncodeJob"]
)
def test_a_job_that_names_another_function_is_never_imported_or_called(function: str) -> None:
    with fakeredis.FakeRedis() as connection:
        queue = Queue("q", connection=connection, serializer=JSONSerializer)
        foreign = queue.enqueue(function, "true")
        job = EncodeJob.fetch(foreign.id, connection=connection, serializer=JSONSerializer)
        job.encode = lambda _: None
        with pytest.raises(EncodeFailed, match="function"):
            job.func  # noqa: B018 - what RQ looks at before it calls
        assert job.success_callback is job.failure_callback is job.stopped_callback is None
        job.func_name = ENCODE_FUNCTION
        assert callable(job.func)
