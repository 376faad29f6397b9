"""Runs X-AnyLabeling's own remote server class against this service, and records what it sends and what it shows.

    python -m venv venv-x && venv-x/bin/pip install 'x-anylabeling-cvhub[cpu]==4.2.1'
    QT_QPA_PLATFORM=offscreen venv-x/bin/python tests/x_anylabeling/record.py http://127.0.0.1:8000 > recorded.json

The service must serve the model `fake` first. With a third argument, that is the API key. X-AnyLabeling takes about a
gigabyte with its dependencies, so the tests do not install it: `test_recorded.py` replays the recording.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests
from anylabeling.services.auto_labeling.remote_server import RemoteServer
from PIL import Image

PACKAGE = "x-anylabeling-cvhub"

POINT = {"type": "point", "data": [48, 30], "label": 1}
NOT_HERE = {"type": "point", "data": [108, 72], "label": 0}
BOX = {"type": "rectangle", "data": [24, 16, 72, 48], "label": 1}
DRAGGED_UP = {"type": "rectangle", "data": [60, 60, 6, 4], "label": 1}

CASES: dict[str, tuple[list[dict[str, Any]], str, float]] = {
    "a point": ([POINT], "polygon", 0.001),
    "a coarse polygon": ([POINT], "polygon", 0.01),
    "a point, and one that is not part of it": ([POINT, NOT_HERE], "polygon", 0.001),
    "a rectangle": ([BOX], "polygon", 0.001),
    "two rectangles": ([BOX, DRAGGED_UP], "polygon", 0.001),
    "a rectangle and points": ([POINT, BOX, NOT_HERE], "polygon", 0.001),
    "a rectangle for a rectangle": ([BOX], "rectangle", 0.001),
    "a rotated rectangle": ([POINT], "rotation", 0.001),
    "only what is not part of it": ([NOT_HERE], "polygon", 0.001),
    "no marks": ([], "polygon", 0.001),
}


def picture() -> bytes:
    image = Image.new("RGB", (120, 80), (20, 90, 160))
    image.paste((200, 30, 30), (30, 20, 60, 40))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def as_shown(result: Any) -> dict[str, Any]:
    """Return what X-AnyLabeling draws."""
    shapes = [
        {
            "label": shape.label,
            "shape_type": shape.shape_type,
            "points": [[point.x(), point.y()] for point in shape.points],
            "score": shape.score,
            "direction": shape.direction,
        }
        for shape in result.shapes
    ]
    return {"shapes": shapes, "replace": result.replace, "description": result.description}


def main() -> None:
    address, key = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    sent: list[dict[str, Any]] = []
    shown: list[str] = []
    send = requests.adapters.HTTPAdapter.send

    def recording(adapter: Any, request: Any, **options: Any) -> Any:
        answer = send(adapter, request, **options)
        sent.append(
            {
                "method": request.method,
                "path": request.path_url,
                "headers": {name: request.headers.get(name) for name in ("Content-Type", "Token")},
                "body": json.loads(request.body) if request.body else None,
                "status": answer.status_code,
            }
        )
        return answer

    settings = {"remote_server_settings": {"server_url": f"{address}/x-anylabeling", "api_key": key}}
    with (
        patch("anylabeling.services.auto_labeling.model.get_config", return_value=settings),
        patch.object(requests.adapters.HTTPAdapter, "send", recording),
        tempfile.TemporaryDirectory() as folder,
    ):
        file = Path(folder) / "picture.png"
        file.write_bytes(picture())
        config = {"type": "remote_server", "display_name": "Remote-Server", "timeout": 180}
        client = RemoteServer(config, shown.append)
        offered = client.get_available_models()
        # What its panel does when a person chooses the server: the first model, its controls and its first task.
        client.set_model_id(next(iter(offered)))
        begins = {widget["name"]: widget["value"] for widget in offered[client.current_model_id]["widgets"]}
        client.set_auto_labeling_preserve_existing_annotations_state(
            begins.get("toggle_preserve_existing_annotations", False)
        )
        client.set_task(offered[client.current_model_id]["available_tasks"][0]["id"])
        cases = []
        for name, (marks, task, fineness) in CASES.items():
            client.set_task(task)
            client.set_mask_fineness(fineness)
            client.set_auto_labeling_marks(marks)
            drawn = as_shown(client.predict_shapes(object(), str(file)))
            cases.append({"name": name, "request": sent[-1], "shown": drawn, "message": shown[-1:] and shown.pop()})
        client.set_auto_labeling_marks([POINT])
        client.set_model_id("nope")
        drawn = as_shown(client.predict_shapes(object(), str(file)))
        cases.append(
            {"name": "a model that is not served", "request": sent[-1], "shown": drawn, "message": shown.pop()}
        )
        client.set_model_id(next(iter(offered)))
        file.write_bytes(picture()[:-20])
        drawn = as_shown(client.predict_shapes(object(), str(file)))
        cases.append({"name": "a damaged picture", "request": sent[-1], "shown": drawn, "message": shown.pop()})
    recorded = {"client": f"{PACKAGE} {version(PACKAGE)}", "models": sent[0], "offered": offered, "cases": cases}
    text = json.dumps(recorded, indent=1).replace(address, "ADDRESS")
    sys.stdout.write((text.replace(key, "KEY") if key else text) + "\n")


if __name__ == "__main__":
    main()
