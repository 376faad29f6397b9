"""`samcache status` and `samcache models`: how far images are, and what the service serves."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from samcache.cli.exits import Exit
from samcache.cli.files import UnreadableFile, read_image
from samcache.cli.missing_workers import MissingWorkers
from samcache.cli.output import Output, table
from samcache.errors import ImageExpired, ImageNotFound
from samcache.service.clients import SamCache
from samcache.service.flows import image_id_of

_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


def status(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache status [IMAGE|ID…]`."""
    with SamCache(options.url, model=options.model, token=options.token, timeout=options.timeout) as service:
        return _images(service, options.images, output) if options.images else _service(service, output)


def models(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache models`."""
    with SamCache(options.url, token=options.token, timeout=options.timeout) as service:
        found = service.models()
    rows = [
        {
            "model": model.name,
            "default": "yes" if model.default else "",
            "title": model.title,
            "licence": model.licence,
            "workers": model.workers,
            "decoder": "to download" if model.decoder else "on the server only",
        }
        for model in found
    ]
    output.result([asdict(model) for model in found], table(rows))
    return Exit.OK


def _service(service: SamCache, output: Output) -> Exit:
    readiness = service.readiness()
    rows = [{"part": name, "state": said} for name, said in readiness.checks.items()]
    verdict = f"{service.url} is {'ready' if readiness.ready else 'not ready'}"
    if readiness.degraded:
        verdict += f", without {', '.join(readiness.degraded)}"
    output.result(
        {
            "url": service.url,
            "ready": readiness.ready,
            "degraded": list(readiness.degraded),
            "checks": dict(readiness.checks),
        },
        "\n".join([verdict, table(rows)]).rstrip(),
    )
    return Exit.OK if readiness.ready else Exit.UNAVAILABLE


def _images(service: SamCache, names: list[str], output: Output) -> Exit:
    rows, worst = [], Exit.OK
    told = MissingWorkers(output.complain)
    for name in names:
        row: dict[str, Any] = dict.fromkeys(("image", "image_id", "status", "width", "height", "queue_position"))
        row["image"] = name
        try:
            row["image_id"] = name if _IMAGE_ID.fullmatch(name) else image_id_of(read_image(Path(name)))
            image = service.status(row["image_id"])
            row |= {field: getattr(image, field) for field in ("status", "width", "height", "queue_position")}
            told(image)
            if image.error is not None:
                output.complain(f"{name}: {image.error['detail']}")
        except UnreadableFile as error:
            row["status"] = "unreadable"
            output.complain(str(error))
        except ImageNotFound:
            row["status"] = "unknown"
        except ImageExpired:
            row["status"] = "expired"
        if row["status"] not in ("queued", "encoding", "ready"):
            worst = Exit.FAILED
        rows.append(row)
    output.result(rows, table(rows))
    return worst
