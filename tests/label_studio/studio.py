"""A real Label Studio on a free port. Tests start it, sign in, create projects and read annotations."""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from tests.label_studio.server import free_port, running_server

EXECUTABLE = os.environ.get("LABEL_STUDIO", ".venv/label-studio/bin/label-studio")
START_SECONDS = 900.0
"""It creates its database first, which takes minutes on a busy machine."""

TIMEOUT = 180.0
"""Label Studio waits 100 seconds for a backend, and its client has to wait for that."""

EMAIL = "annotator@example.com"


class Studio:
    """Label Studio's API, used as its first user."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self.password = password
        self._client = httpx.Client(base_url=url, follow_redirects=True, timeout=TIMEOUT, headers={"Referer": url})
        self._sign_in()
        self.personal_token = str(self._post("/api/token/", {})["token"])

    @property
    def version(self) -> str:
        return str(self._client.get("/api/version").json()["release"])

    def close(self) -> None:
        self._client.close()

    def allow_legacy_tokens(self) -> str:
        """Switch legacy tokens on and return the user's token."""
        self._post("/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
        return str(self._client.get("/api/current-user/token").json()["token"])

    def create_project(self, title: str, label_config: str) -> int:
        return int(self._post("/api/projects", {"title": title, "label_config": label_config})["id"])

    def upload_photo(self, project: int, photo: bytes) -> tuple[int, str]:
        """Upload a photo and return the id of its task and the image address in the task."""
        answer = self._client.post(
            f"/api/projects/{project}/import", files={"file": ("coffee.jpg", photo, "image/jpeg")}
        )
        answer.raise_for_status()
        return self._only_task(project)

    def upload_photos(self, project: int, photos: Mapping[str, bytes]) -> dict[str, int]:
        """Upload photos by their names. Return the id of the task of each."""
        files = {name: (f"{name}.jpg", photo, "image/jpeg") for name, photo in photos.items()}
        self._client.post(f"/api/projects/{project}/import", files=files).raise_for_status()
        tasks = self._client.get("/api/tasks", params={"project": project, "resolve_uri": False}).json()["tasks"]
        # Label Studio puts a random part before the name of a file.
        found = {str(task["data"]["image"]).rpartition("-")[2].removesuffix(".jpg"): int(task["id"]) for task in tasks}
        return {name: found[name] for name in photos}

    def import_from(self, project: int, bucket: dict[str, str], *, presign: bool) -> tuple[int, str]:
        """Take a task from the only photo in a bucket. Return the id of the task and the image address in the task.

        Args:
            bucket: the fields of the form that say where the bucket is.
            presign: whether Label Studio redirects to signed URLs of the bucket, or passes the photo on itself.
        """
        scan = {"use_blob_urls": True, "recursive_scan": True}
        form = {"project": project, "title": "Photos", "presign": presign, **scan, **bucket}
        storage = self._post("/api/storages/s3", form)["id"]
        self._post(f"/api/storages/s3/{storage}/sync", {})
        return self._only_task(project)

    def connect(self, project: int, backend: str, token: str) -> int:
        """Connect an interactive ML backend whose password is `token`, as the form in the settings does."""
        form = {
            "project": project,
            "url": backend,
            "title": "SAM",
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": "label-studio",
            "basic_auth_pass": token,
        }
        return int(self._post("/api/ml", form)["id"])

    def open_task(self, task: int) -> None:
        self._client.get(f"/api/tasks/{task}").raise_for_status()

    def predictions(self, task: int) -> list[Any]:
        found: list[Any] = self._client.get(f"/api/tasks/{task}").json()["predictions"]
        return found

    def stored_predictions(self, task: int) -> list[dict[str, Any]]:
        """Return the predictions that Label Studio has of a task. Unlike opening the task, this asks for none."""
        found: list[dict[str, Any]] = self._client.get("/api/predictions/", params={"task": task}).json()
        return found

    def retrieve_predictions(self, project: int, tasks: Sequence[int]) -> None:
        """Do what *Retrieve Predictions* does in the list of tasks, for the selected ones."""
        selected = {"selectedItems": {"all": False, "included": list(tasks)}}
        self._post(f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}", selected)

    def interact(self, backend: int, task: int, result: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send the request that the editor sends after a smart click, and return the regions of the answer."""
        answer = self._post(f"/api/ml/{backend}/interactive-annotating", {"task": task, "context": {"result": result}})
        assert not answer.get("errors"), answer
        regions: list[dict[str, Any]] = answer["data"]["result"]
        return regions

    def annotations(self, task: int) -> list[list[dict[str, Any]]]:
        """Return the regions of each submitted annotation."""
        return [one["result"] for one in self._client.get(f"/api/tasks/{task}/annotations").json()]

    def _only_task(self, project: int) -> tuple[int, str]:
        """Return the id of the project's only task, and the image address in the task."""
        (task,) = self._client.get("/api/tasks", params={"project": project, "resolve_uri": False}).json()["tasks"]
        return int(task["id"]), str(task["data"]["image"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._client.post(path, json=body, headers={"X-CSRFToken": self._client.cookies["csrftoken"]})
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text[:500]}"
        found: dict[str, Any] = answer.json()
        return found

    def _sign_in(self) -> None:
        page = self._client.get("/user/login/").text
        hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert hidden is not None
        form = {"csrfmiddlewaretoken": hidden[1], "email": EMAIL, "password": self.password}
        self._client.post("/user/login/", data=form).raise_for_status()
        self._client.headers["X-CSRFToken"] = self._client.cookies["csrftoken"]


@contextmanager
def running_studio(folder: Path) -> Iterator[Studio]:
    """Run Label Studio on SQLite in `folder`, with one user. Unlike by default, it may call back to this machine."""
    port, password = free_port(), secrets.token_urlsafe(12)
    environ = {
        **os.environ,
        "HOME": str(folder),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        # By default it refuses ML backends and webhooks at private addresses.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
    }
    address = ["--internal-host", "127.0.0.1", "--port", str(port)]
    command = [EXECUTABLE, "start", "--no-browser", *address, "--username", EMAIL, "--password", password]
    url = f"http://127.0.0.1:{port}"
    with running_server("label-studio", command, environ, health=f"{url}/health", seconds=START_SECONDS):
        studio = Studio(url, password)
        try:
            yield studio
        finally:
            studio.close()


def jpeg(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()
