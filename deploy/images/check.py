"""`make images-check` (`python -m deploy.images.check`): build and start the images, and send a photo through them.

MobileSAM goes through the API and the worker's `cpu` variant; a ViT-B with random weights, from a volume, through the
API and the `cuda` variant, on the CPU.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.images.build import Builder, BuiltImage
from deploy.images.container import run, start
from deploy.images.random_vit import write_random_vit_b
from deploy.local.embedded_valkey import start_valkey
from deploy.local.photo import PHOTO, POINT
from deploy.local.process import ROOT, ProcessGroup, StackError, stop_all
from deploy.local.run import say, stopped_by_signals
from deploy.local.stack import LocalStack
from samcache import Mask, SamCache, SamCacheError
from samcache.arrays.rle import mask_of_rle

_START_SECONDS = 60.0
_TORCH_START_SECONDS = 300.0
_ENCODE_SECONDS = 300.0
_STOP_SECONDS = 10.0
_API_MEGABYTES = 350
_LEAST_IOU = 0.9995
_READY = re.compile(r"\bready:")
_URL = re.compile(r"https?://[^\s/]+:(\d+)")


@dataclass(slots=True)
class Report:
    """The results of the checks, one line for each."""

    failures: int = 0
    lines: list[str] = field(default_factory=list)

    def check(self, what: str, passed: bool, seen: object = "") -> None:
        self.failures += not passed
        self.lines.append(f"{'ok' if passed else 'FAILED':<8}{what}{f': {seen}' if seen != '' else ''}")
        say(self.lines[-1])


def main() -> int:
    """Run all checks. Exit status: 0 if all passed, 1 if one failed, 130 if interrupted."""
    report = Report()
    with stopped_by_signals():
        try:
            _check(Path(ROOT, ".images"), report)
        except (StackError, SamCacheError) as error:
            say(str(error))
            return 1
        except KeyboardInterrupt:
            return 130
    return 1 if report.failures else 0


def _check(folder: Path, report: Report) -> None:
    builder = Builder(folder)
    try:
        started = time.monotonic()
        api = builder.build("Dockerfile.api", "localhost/sam-prompt-api")
        encoder = builder.build("Dockerfile.encoder", "localhost/sam-encoder-worker")
        say(f"built in {time.monotonic() - started:.0f} s")
        _declarations(api, encoder, report)
        _compare(_masks_from(api, encoder, report), {}, report)

        started = time.monotonic()
        torch_encoder = builder.build(
            "Dockerfile.encoder", "localhost/sam-encoder-worker-cuda", VARIANT="cuda", SAM_MODEL="none"
        )
        say(f"built in {time.monotonic() - started:.0f} s")
        report.check("the cuda variant's size in MB", True, f"{torch_encoder.megabytes:.0f}")
        _vit_from(api, torch_encoder, folder / "data", report)
    finally:
        builder.close()


def _vit_from(api: BuiltImage, encoder: BuiltImage, data: Path, report: Report) -> None:
    """Send a photo through a ViT-B with random weights. The worker and the API share its volume."""
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    write_random_vit_b(data / "random_vit_b.pth")
    user, group = (int(number) for number in api.config["User"].split(":"))
    os.chown(data, user, group)
    model = {"SAM_MODEL": "vit_b", "SAM_MODELS": "vit_b"}
    masks = _masks_from(api, encoder, report, {**model, "SAM_WEIGHTS_PATH": "/data/random_vit_b.pth"}, data)
    here = {"SAM_WEIGHTS_DIR": str(data), "SAM_WEIGHTS_PATH": str(data / "random_vit_b.pth")}
    _compare(masks, {**model, **here}, report)


def _compare(masks: list[Mask], environ: Mapping[str, str], report: Report) -> None:
    with LocalStack(environ) as stack, SamCache(stack.url, timeout=_ENCODE_SECONDS) as service:
        expected = _masks(service)
    ious = [
        float(np.count_nonzero(one & other) / np.count_nonzero(one | other))
        for one, other in zip(map(_pixels, masks), map(_pixels, expected), strict=True)
    ]
    # OpenVINO may be installed here and not in the image: its embeddings differ in the last digits.
    report.check("the masks are those of this checkout", min(ious) >= _LEAST_IOU, min(ious))


def _declarations(api: BuiltImage, encoder: BuiltImage, report: Report) -> None:
    report.check(
        f"the API image has at most {_API_MEGABYTES} MB", api.megabytes <= _API_MEGABYTES, f"{api.megabytes:.0f}"
    )
    report.check("the encoder image's size in MB", True, f"{encoder.megabytes:.0f}")
    report.check("the API image declares a health check", "Healthcheck" in api.config)
    for image in (api, encoder):
        name = image.name.rpartition("/")[2]
        report.check(
            f"{name} does not run as root", image.config["User"] not in ("", "0", "root"), image.config["User"]
        )
        labels = [label for label in image.config["Labels"] if label.startswith("org.opencontainers.image.")]
        report.check(f"{name} says what it is", len(labels) >= 4, len(labels))
        written = run(image, ["python", "-c", "open('/opt/sam/x', 'w')"], {})
        report.check(f"{name} cannot write itself", written.returncode != 0)
    for module in ("torch", "segment_anything", "pip"):
        found = run(api, ["python", "-c", f"import {module}"], {})
        report.check(f"the API image has no {module}", "ModuleNotFoundError" in found.stderr)


def _masks_from(
    api: BuiltImage,
    encoder: BuiltImage,
    report: Report,
    model: Mapping[str, str] | None = None,
    data: Path | None = None,
) -> list[Mask]:
    """Return the masks that both images give, after some checks on their processes.

    Args:
        model: the variables that choose the model; MobileSAM is built in.
        data: the folder that both get as their volume /data.
    """
    with _running_group() as group:
        deadline = time.monotonic() + (_START_SECONDS if data is None else _TORCH_START_SECONDS)
        _, url = start_valkey(group, _nobody, deadline)
        environ = {"SAM_CACHE_URL": url, "SAM_QUEUE_URL": url, **(model or {})}
        worker = start(encoder, "encoder", environ=environ, group=group, sink=_nobody, data=data)
        worker.wait_for_line(_READY, deadline)  # by then it has handed over the decoder that the API may need
        # Only for this check: the API listens on an address that only this machine can reach.
        serving = {**environ, "SAM_HOST": "127.0.0.1", "SAM_PORT": "0"}
        server = start(api, "api", environ=serving, group=group, sink=_nobody, data=data)
        port = server.wait_for_line(_URL, deadline)[1]
        with SamCache(f"http://127.0.0.1:{port}", timeout=_ENCODE_SECONDS) as service:
            masks = _masks(service)
        report.check("a photo goes through both images", True, f"score {max(mask.score for mask in masks):.3f}")
        health = run(api, api.config["Healthcheck"]["Test"][1:], {"SAM_PORT": port})
        report.check("the health check passes", health.returncode == 0, health.stderr[-200:])
        probe = ["python", "-m", "encoder_worker.alive"]
        alive = run(encoder, probe, environ)
        report.check("the worker's probe finds it", alive.returncode == 0, alive.stderr[-200:])
        for child in (server, worker):
            stopping = time.monotonic()
            stop_all([child], _STOP_SECONDS)
            report.check(f"{child.name} obeys SIGTERM", child.exit_code == 0, f"{time.monotonic() - stopping:.1f} s")
        report.check("the worker's probe misses it once it is gone", run(encoder, probe, environ).returncode == 1)
        return masks


def _masks(service: SamCache) -> list[Mask]:
    image = service.wait(service.upload(PHOTO.read_bytes()).image_id)
    return service.masks(image.image_id, [{"points": [list(POINT)], "labels": [1]}]).results[0]


def _pixels(mask: Mask) -> NDArray[np.bool_]:
    return mask_of_rle(mask.payload)


@contextmanager
def _running_group() -> Iterator[ProcessGroup]:
    group = ProcessGroup()
    try:
        yield group
    finally:
        group.close()


def _nobody(_line: str) -> None:
    """Ignore a line of output. The child keeps its last lines itself."""


if __name__ == "__main__":
    sys.exit(main())
