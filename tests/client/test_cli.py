"""`samcache` as a user runs it: in its own process, against a running service with the fake model."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from samcache import SamCache, image_id_of
from samcache.errors import ImageNotFound
from tests.support.stack import ObservedStack
from tests.support.world import png

BOUND = 60.0
COMMAND = [sys.executable, "-m", "samcache"]
ENVIRON = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "client" / "src")}
"""Environment of the command. It finds the client of this checkout even if another client is installed."""


@pytest.fixture(scope="module")
def stack() -> Iterator[ObservedStack]:
    with ObservedStack({"SAM_MODEL": "fake", "SAM_MAX_UPLOAD_BYTES": "200000"}) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Three images that no other test uses, each of another size. One is in a subfolder."""
    seed = zlib.crc32(request.node.name.encode()) % 200
    (tmp_path / "deep").mkdir()
    for number, name in enumerate(("a.png", "b.PNG", "deep/c.png")):
        (tmp_path / name).write_bytes(png(120 + number, 80, (seed, 30 + number, 30)))
    return tmp_path


def samcache(stack: ObservedStack, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env={**ENVIRON, "SAMCACHE_URL": stack.url, **environ},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )


def document(answer: subprocess.CompletedProcess[str]) -> Any:
    assert answer.stderr == ""
    return json.loads(answer.stdout)


def test_upload_sends_an_image_once(stack: ObservedStack, folder: Path) -> None:
    first = samcache(stack, "upload", folder / "a.png", "--json")
    assert first.returncode == 0
    (image,) = document(first)
    assert (image["status"], image["sent"], image["width"]) == ("ready", True, 120)
    again = samcache(stack, "upload", folder / "a.png")
    assert again.returncode == 0
    assert again.stdout.splitlines()[0].split() == ["file", "image_id", "status", "sent", "width", "height"]
    assert "known" in again.stdout


def test_upload_names_what_failed_and_does_the_rest(stack: ObservedStack, folder: Path) -> None:
    (folder / "text.png").write_text("no image")
    (folder / "half.png").write_bytes(png()[:100])
    (folder / "fat.png").write_bytes(bytes(300_000))
    names = ("text.png", "half.png", "fat.png", "none.png", "a.png")
    answer = samcache(stack, "upload", *(folder / name for name in names), "--json")
    assert answer.returncode == 1
    found = {Path(image["file"]).name: image for image in json.loads(answer.stdout)}
    assert [found[name]["error"] and found[name]["error"]["code"] for name in names] == [
        "unsupported-image",
        "invalid-image",
        "image-too-large",
        "unreadable-file",
        None,
    ]
    assert found["a.png"]["status"] == "ready"
    assert len(answer.stderr.splitlines()) == 4
    assert all(line.startswith("samcache: ") for line in answer.stderr.splitlines())


def test_segment_writes_mask_overlay_coco_and_polygons(stack: ObservedStack, folder: Path) -> None:
    prompt = ["segment", folder / "a.png", "--point", "40,30"]
    outputs = ["-o", folder / "mask.png", "--coco", folder / "coco.json", "--polygon", folder / "polygon.json"]
    answer = samcache(stack, *prompt, *outputs, "--json")
    assert answer.returncode == 0, answer.stderr
    result = document(answer)
    best = result["masks"][result["chosen"]]
    assert best["score"] == max(mask["score"] for mask in result["masks"])
    assert result["written"] == [str(outputs[1]), str(outputs[3]), str(outputs[5])]

    with Image.open(folder / "mask.png") as picture:
        mask = np.asarray(picture)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, coco.decode(best["rle"]).astype(np.bool_))
    dataset = json.loads((folder / "coco.json").read_text())
    assert dataset["images"] == [{"id": 1, "file_name": "a.png", "width": 120, "height": 80}]
    assert coco.area(dataset["annotations"][0]["segmentation"]) == mask.sum() == dataset["annotations"][0]["area"]
    assert json.loads((folder / "polygon.json").read_text())["polygons"][0]["outer"]

    painted = samcache(stack, *prompt, "--index", "0", "-o", folder / "painted.jpg", "--overlay")
    assert painted.returncode == 0, painted.stderr
    with Image.open(folder / "painted.jpg") as picture:
        assert picture.size == (120, 80)
    assert painted.stdout.splitlines()[1].endswith("<-")


def test_segment_takes_a_box_and_a_single_mask(stack: ObservedStack, folder: Path) -> None:
    answer = samcache(
        stack, "segment", folder / "a.png", "--box", "20,10,70,50", "--point-bg", "2,2", "--single", "--json"
    )
    assert answer.returncode == 0
    assert len(document(answer)["masks"]) == 1


def test_segment_takes_a_region(stack: ObservedStack, folder: Path) -> None:
    answer = samcache(stack, "segment", folder / "a.png", "--point", "40,30", "--region", "20,10,90,70", "--json")
    assert answer.returncode == 0, answer.stderr
    result = document(answer)
    assert result["region"] == [20, 10, 90, 70]
    x, y, width, height = result["masks"][result["chosen"]]["bbox"]
    assert 20 <= x < x + width <= 90
    assert 10 <= y < y + height <= 70


def test_segment_takes_a_mask_and_cleans_its_answer(stack: ObservedStack, folder: Path) -> None:
    given = np.zeros((80, 120), np.uint8)
    given[20:40, 30:60] = 255
    Image.fromarray(given).save(folder / "given.png")
    clean = ["--keep", "largest", "--fill-holes", "1000", "--remove-specks", "10"]
    outputs = ["--coco", folder / "coco.json", "--coco-polygons", "--polygon", folder / "p.json", "--tolerance", "1"]
    answer = samcache(stack, "segment", folder / "a.png", "--mask", folder / "given.png", *clean, *outputs, "--json")
    assert answer.returncode == 0, answer.stderr
    result = document(answer)
    best = result["masks"][result["chosen"]]
    x, y, width, height = best["bbox"]
    assert 30 <= x < x + width <= 60
    assert 20 <= y < y + height <= 40
    (polygon,) = json.loads((folder / "p.json").read_text())["polygons"]
    assert polygon["holes"] == []
    (annotation,) = json.loads((folder / "coco.json").read_text())["annotations"]
    assert annotation["segmentation"] == [[number for point in polygon["outer"] for number in point]]

    (folder / "notes.txt").write_text("no mask")
    refused = samcache(stack, "segment", folder / "a.png", "--mask", folder / "notes.txt")
    assert refused.returncode == 1
    assert "notes.txt is no mask" in refused.stderr


def test_segment_refuses_in_one_sentence(stack: ObservedStack, folder: Path) -> None:
    for arguments in (
        [folder / "none.png", "--point", "1,1"],
        [folder / "a.png", "--point", "5000,1"],
        [folder / "a.png", "--point", "1,1", "--model", "unheard"],
        [folder / "a.png", "--point", "40,30", "-o", folder / "no" / "such" / "mask.png"],
    ):
        answer = samcache(stack, "segment", *arguments)
        assert (answer.returncode, answer.stdout) == (1, "")
        assert len(answer.stderr.splitlines()) == 1, answer.stderr


def test_warm_encodes_a_folder_and_then_has_nothing_to_do(stack: ObservedStack, folder: Path) -> None:
    (folder / "notes.txt").write_text("not an image")
    flat = samcache(stack, "warm", folder, "--json")
    assert flat.returncode == 0
    assert {name: document(flat)[name] for name in ("images", "known", "encoded", "failed", "left")} == {
        "images": 2,
        "known": 0,
        "encoded": 2,
        "failed": 0,
        "left": 0,
    }
    deep = samcache(stack, "warm", folder, "--recursive")
    assert deep.returncode == 0
    assert deep.stdout.startswith("3 images: 2 known already, 1 encoded, 0 failed, 0 left")
    assert deep.stderr == ""


def test_warm_has_the_parts_of_large_images_encoded(stack: ObservedStack, tmp_path: Path) -> None:
    large, small = png(1000, 700, (9, 99, 9)), png(120, 80, (9, 99, 9))
    (tmp_path / "large.png").write_bytes(large)
    (tmp_path / "small.png").write_bytes(small)
    answer = samcache(stack, "warm", tmp_path, "--tiles", "100", "--json")
    assert answer.returncode == 0, answer.stderr
    result = document(answer)
    of = {Path(file["file"]).name: file["regions"] for file in result["files"]}
    assert of["small.png"] == 0
    assert of["large.png"] == result["regions"] > 3
    with SamCache(stack.url) as client:
        found = client.regions(image_id_of(large), around=[(455, 333, 495, 373)])
        assert found.regions[0].region is not None
    again = samcache(stack, "warm", tmp_path, "--tiles", "100")
    assert f"; {result['regions']} regions; " in again.stdout


def test_warm_goes_on_after_broken_files_and_says_so(stack: ObservedStack, folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    answer = samcache(stack, "warm", folder, "-r", "--jobs", "2")
    assert answer.returncode == 1
    assert answer.stdout.startswith("4 images: 0 known already, 3 encoded, 1 failed, 0 left")
    assert "broken.jpg: " in answer.stderr


def test_an_empty_folder_is_warm(stack: ObservedStack, tmp_path: Path) -> None:
    answer = samcache(stack, "warm", tmp_path)
    assert (answer.returncode, answer.stdout[:9]) == (0, "0 images:")


def test_ctrl_c_stops_warming_and_running_it_again_goes_on(stack: ObservedStack, folder: Path) -> None:
    assert samcache(stack, "upload", folder / "a.png").returncode == 0
    worker = stack.pids("worker")[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        with subprocess.Popen(
            # A shell that runs the tests in the background makes them ignore SIGINT; this restores the default.
            ["env", "--default-signal=INT", *COMMAND, "warm", str(folder), "-r", "--url", stack.url],
            env=ENVIRON,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            # The service knows the uploads, so the command is now waiting for the worker.
            wait_until_known(stack, folder / "b.PNG")
            wait_until_known(stack, folder / "deep" / "c.png")
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=BOUND)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert process.returncode == 130
    assert output.startswith("3 images: 1 known already, 0 encoded, 0 failed, 2 left")
    assert "run it again" in errors
    again = samcache(stack, "warm", folder, "-r")
    assert again.returncode == 0
    assert ", 0 failed, 0 left" in again.stdout


def test_status_shows_where_images_are(stack: ObservedStack, folder: Path) -> None:
    (image,) = document(samcache(stack, "upload", folder / "a.png", "--json"))
    answer = samcache(stack, "status", folder / "a.png", image["image_id"])
    assert answer.returncode == 0
    assert answer.stdout.count("ready") == 2
    unknown = samcache(stack, "status", folder / "b.PNG", "0" * 64, folder / "none.png", "--json")
    assert unknown.returncode == 1
    assert [row["status"] for row in json.loads(unknown.stdout)] == ["unknown", "unknown", "unreadable"]


def test_status_and_models_of_the_service(stack: ObservedStack) -> None:
    ready = samcache(stack, "status")
    assert ready.returncode == 0
    assert ready.stdout.startswith(f"{stack.url} is ready, without mask workers of fake\n")
    assert document(samcache(stack, "status", "--json"))["ready"]
    models = samcache(stack, "models")
    assert models.returncode == 0
    assert models.stdout.splitlines()[1].split()[:2] == ["fake", "yes"]
    assert document(samcache(stack, "models", "--json"))[0]["name"] == "fake"


def test_a_demo_paints_a_sample_of_the_service(stack: ObservedStack, tmp_path: Path) -> None:
    painted = tmp_path / "seen.png"
    shown = document(samcache(stack, "demo", "cat", "-o", painted, "--json"))
    assert (shown["sample"], shown["written"]) == ("cat", str(painted))
    with Image.open(painted) as picture:
        assert picture.size == (451, 300)
    unknown = samcache(stack, "demo", "dog")
    assert unknown.returncode == 2


@pytest.mark.parametrize("command", [["models"], ["status"], ["upload", "a.png"], ["warm", "."]])
def test_a_service_out_of_reach_is_status_3_and_one_sentence(
    stack: ObservedStack, folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    answer = samcache(stack, *command, SAMCACHE_URL=url)
    assert answer.returncode == 3
    assert answer.stderr.startswith(f"samcache: {url} cannot be reached")
    assert len(answer.stderr.splitlines()) == 1


def test_another_service_at_the_address_gives_no_traceback(stack: ObservedStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=answer_everything, args=(other,), daemon=True).start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        answer = samcache(stack, "models", SAMCACHE_URL=url)
    assert answer.returncode == 1
    assert "not one of this service's contract" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_reader_that_closes_its_pipe_gives_no_traceback(stack: ObservedStack) -> None:
    with subprocess.Popen(
        [*COMMAND, "models", "--url", stack.url], env=ENVIRON, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as it:
        assert it.stdout is not None
        it.stdout.close()
        assert it.stderr is not None
        assert it.stderr.read() == b""


def wait_until_known(stack: ObservedStack, path: Path) -> None:
    deadline = time.monotonic() + BOUND
    with SamCache(stack.url) as service:
        while True:
            try:
                service.status(image_id_of(path.read_bytes()))
            except ImageNotFound:
                assert time.monotonic() < deadline
                time.sleep(0.02)  # there is no event for an image that the service does not know yet
            else:
                return


def answer_everything(server: socket.socket) -> None:
    connected, _ = server.accept()
    with connected:
        connected.recv(65536)
        connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
