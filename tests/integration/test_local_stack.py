"""The whole service on one machine, as `make run` and `make demo` start it, with real processes, Valkey and HTTP."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from deploy.local.photo import PHOTO, POINT
from deploy.local.process import ROOT, StackError
from samcache import Mask, SamCache
from tests.support.stack import ObservedStack

FAKE = {"SAM_MODEL": "fake"}
RUN = [sys.executable, "-m", "deploy.local.run"]
BOUND = 60.0


def photo_of(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


def encodings(stack: ObservedStack) -> int:
    """Number of encodings that the first worker has done, including those before a restart."""
    return sum("encoded" in line for line in stack.log("worker 1"))


def masks_at(service: SamCache, image_id: str, point: tuple[float, float]) -> list[Mask]:
    return service.masks(image_id, [{"points": [list(point)], "labels": [1]}]).results[0]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def eventually(condition: Callable[[], bool]) -> bool:
    """Return True as soon as `condition` holds, or False if it does not hold in time."""
    deadline = time.monotonic() + BOUND
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)  # there is no event for the end of a process that is not a child
    return True


def members(group: int) -> list[int]:
    """Return the running processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] not in {"Z", "X"}:
            found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def stack() -> Iterator[ObservedStack]:
    with ObservedStack(FAKE) as running:
        yield running


@pytest.fixture
def client(stack: ObservedStack) -> Iterator[SamCache]:
    with SamCache(stack.url) as connected:
        yield connected


def test_an_uploaded_photo_can_be_prompted(client: SamCache) -> None:
    photo = photo_of("red")
    uploaded = client.upload(photo)
    assert uploaded.image_id == hashlib.sha256(photo).hexdigest()
    client.wait(uploaded.image_id)
    masks = masks_at(client, uploaded.image_id, (20, 20))
    assert [mask.payload["size"] for mask in masks] == [[48, 64]] * 3


def test_the_same_photo_twice_is_encoded_once(stack: ObservedStack, client: SamCache) -> None:
    before = encodings(stack)
    image_id = client.upload(photo_of("green")).image_id
    client.wait(image_id)
    assert eventually(lambda: encodings(stack) == before + 1)
    assert httpx.post(f"{stack.url}/v1/images", content=photo_of("green")).status_code == 200
    client.upload(photo_of("blue"))
    client.wait(hashlib.sha256(photo_of("blue")).hexdigest())
    assert eventually(lambda: encodings(stack) == before + 2)


def test_prompts_after_a_restart_of_the_api_alone_need_no_encoding(stack: ObservedStack) -> None:
    with SamCache(stack.url) as client:
        image_id = client.upload(photo_of("yellow")).image_id
        client.wait(image_id)
        answered = masks_at(client, image_id, (20, 20))
    assert eventually(lambda: any(image_id[:8] in line and "encoded" in line for line in stack.log("worker 1")))
    before, url, pids = encodings(stack), stack.url, stack.pids("api")

    stack.restart_api()

    assert stack.url == url
    assert stack.pids("api") != pids
    with SamCache(stack.url) as client:
        again = masks_at(client, image_id, (20, 20))
    assert [mask.payload for mask in again] == [mask.payload for mask in answered]
    assert encodings(stack) == before


def test_a_killed_worker_is_started_again(stack: ObservedStack, client: SamCache) -> None:
    before = stack.pids("worker")
    stack.kill_worker()
    stack.wait_for_workers()
    assert stack.pids("worker") != before
    image_id = client.upload(photo_of("purple")).image_id
    client.wait(image_id)


def test_real_weights_cut_the_cup_out_of_the_shipped_photo() -> None:
    with ObservedStack({"SAM_MODEL": "mobile_sam"}) as stack, SamCache(stack.url) as client:
        image_id = client.upload(PHOTO.read_bytes()).image_id
        client.wait(image_id)
        masks = masks_at(client, image_id, POINT)
    best = max(masks, key=lambda mask: mask.score)
    assert best.score > 0.9
    assert 20_000 < best.area < 130_000


def test_leaving_the_stack_leaves_no_process() -> None:
    with ObservedStack(FAKE, workers=2) as stack:
        pids = stack.pids("")
        assert len(pids) == 5
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address_of(stack.url)):
        pass


def test_an_exception_inside_leaves_no_process() -> None:
    with pytest.raises(ZeroDivisionError), ObservedStack(FAKE) as stack:  # noqa: PT012 - the block is the test
        pids = stack.pids("")
        _ = 1 / 0
    assert not any(alive(pid) for pid in pids)


def test_a_child_that_cannot_start_is_named_with_its_last_words() -> None:
    stack = ObservedStack({**FAKE, "SAM_CACHE_URL": "nonsense"})
    with pytest.raises(StackError, match=r"ended with status[\s\S]*Redis URL"), stack:
        pass


def test_the_end_of_the_api_is_reported() -> None:
    with ObservedStack(FAKE) as stack:
        os.kill(stack.pids("api")[0], signal.SIGKILL)
        with pytest.raises(StackError, match="api ended with status -9"):
            stack.wait()


def test_a_given_redis_is_used_instead_of_the_embedded_one(valkey_url: str) -> None:
    with ObservedStack({**FAKE, "SAM_CACHE_URL": valkey_url}) as stack:
        assert stack.valkey_url == valkey_url
        assert stack.pids("valkey") == []
        with SamCache(stack.url) as client:
            client.wait(client.upload(photo_of("orange")).image_id)


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


@contextmanager
def make_run() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `make run`. Yields its process once it serves, and the process group of its children."""
    environ = {**os.environ, **FAKE, "PORT": "0"}
    command = [sys.executable, "-m", "deploy.local.run"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Serving at http"):
                    break
            else:
                pytest.fail("it ended before it served")
            child = next(pid for pid in children_of(process.pid))
            yield process, os.getpgid(child)
        finally:
            process.kill()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_make_run_exits_0_and_leaves_no_process(number: signal.Signals) -> None:
    with make_run() as (process, group):
        assert len(members(group)) == 6, "the guard, two Valkeys, the worker, the mask worker and the API"
        process.send_signal(number)
        output, _ = process.communicate(timeout=BOUND)
        assert process.returncode == 0
        assert output.rstrip().endswith("stopped, nothing left running")
        assert members(group) == []


def test_a_second_ctrl_c_does_not_cut_the_orderly_stop_short() -> None:
    with make_run() as (process, group):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=BOUND)
        assert process.returncode == 0
        assert members(group) == []


def test_make_run_killed_outright_leaves_no_process() -> None:
    with make_run() as (process, group):
        process.kill()
        process.wait(BOUND)
        assert eventually(lambda: members(group) == [])


def test_a_busy_port_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = subprocess.run(
            RUN,
            cwd=ROOT,
            env={**os.environ, "PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
    assert answer.returncode == 2
    assert answer.stdout == (
        f"port {port} on 127.0.0.1 cannot be used (Address already in use); choose another: PORT=8080 make run\n"
    )
