"""Data from Redis, clients and files is never run, and never decides where to connect."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from encoder_worker.rq.job import EncodeJob
from shared.contract.errors import EncodeFailed
from shared.contract.keys import ENCODE_JOB, EmbeddingKey
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.queue import rq_queue
from shared.queue.rq_queue import RqEncodeQueue

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "prompt_api", "encoder_worker", "client/src/samcache")
FILES = [path.relative_to(ROOT).as_posix() for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

RUNS_DATA = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "runpy"}
CONNECTS = {"urllib.request", "http.client", "ftplib", "requests", "urllib3", "aiohttp", "httpx"}

ONLY_ITS_ERROR = {"encoder_worker/backends/on_torch/tensor_file.py"}
"""It imports pickle only for the error of a file that cannot be loaded. `torch.load` itself loads only weights."""

CONNECTS_BY_DESIGN = (
    "client/",
    "prompt_api/integrations/label_studio/",
    "prompt_api/remote_images/",
    "shared/weights/download.py",
)
"""The client; what fetches images by URL or from Label Studio, whose own tests check that it connects only where the
operator allows; the download of pinned weights."""


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
    """Yield (called function, its constant keyword arguments)."""
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


KEY = EmbeddingKey.of("a" * 64, FAKE)
FOREIGN: dict[str, Callable[[Queue], Job]] = {
    "os.system": lambda queue: queue.enqueue("os.system", "true"),
    "builtins.eval": lambda queue: queue.enqueue("builtins.eval", *KEY.job_arguments),
    "the worker's own": lambda queue: queue.enqueue("encoder_worker.rq.job.EncodeJob", *KEY.job_arguments),
    "a method": lambda queue: queue.enqueue(KEY_HOLDER.method),
    "no arguments": lambda queue: queue.enqueue(ENCODE_JOB),
    "too many arguments": lambda queue: queue.enqueue(ENCODE_JOB, *KEY.job_arguments, "p1"),
    "no image id": lambda queue: queue.enqueue(ENCODE_JOB, "../a", *KEY.job_arguments[1:]),
    "no text": lambda queue: queue.enqueue(ENCODE_JOB, {}, *KEY.job_arguments[1:]),
    "a keyword": lambda queue: queue.enqueue_call(ENCODE_JOB, KEY.job_arguments, {"ttl": 1}),
    "unreadable": lambda queue: overwritten(queue.enqueue(ENCODE_JOB), b"cos\nsystem\n(S'true'\ntR."),
}


class Holder(list[int]):
    """An object that can be written as JSON and has a method."""

    def method(self) -> None:
        raise AssertionError("called")


KEY_HOLDER = Holder()


def overwritten(job: Job, data: bytes) -> Job:
    job.connection.hset(job.key, "data", data)
    return job


@pytest.mark.parametrize("enqueue", FOREIGN.values(), ids=FOREIGN)
def test_a_job_that_asks_for_anything_else_is_refused_and_nothing_is_imported(enqueue: Callable[[Queue], Job]) -> None:
    with fakeredis.FakeRedis() as connection:
        foreign = enqueue(Queue("q", connection=connection, serializer=JSONSerializer))
        job = EncodeJob.fetch(foreign.id, connection=connection, serializer=JSONSerializer)
        with pytest.raises(EncodeFailed, match="the job"):
            job.requested_key()
        assert job.known_key is None
        assert job.func is job.success_callback is job.failure_callback is job.stopped_callback is None


def test_a_job_of_the_api_names_its_embedding() -> None:
    with fakeredis.FakeRedis() as connection:
        RqEncodeQueue(connection, Settings()).submit(KEY)
        job = EncodeJob.fetch(KEY.job_id, connection=connection, serializer=JSONSerializer)
        assert job.requested_key() == KEY
        with pytest.raises(ValueError, match="function is None"):
            job.perform()
