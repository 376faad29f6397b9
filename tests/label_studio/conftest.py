"""Fixtures of the two services side by side: a real Label Studio, and this service with real weights and a token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from skimage import data

from deploy.local.stack import LocalStack
from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.scopes import Scope
from tests.label_studio.bucket import Bucket, running_bucket
from tests.label_studio.editor import Editor, chromium
from tests.label_studio.studio import Studio, jpeg, running_studio

PHOTO = jpeg(data.coffee())


@dataclass(frozen=True)
class Backend:
    """This service as an ML backend. Label Studio sends `token` as the password."""

    url: str
    token: str
    stack: LocalStack

    def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, self.url + path, headers=headers, timeout=60, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running_studio(tmp_path_factory.mktemp("label-studio")) as studio:
        yield studio


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """Return a bucket with `PHOTO` in it."""
    with running_bucket() as bucket:
        bucket.put("cups/coffee 1.jpg", PHOTO)
        yield bucket


@pytest.fixture(scope="session")
def backend(studio: Studio) -> Iterator[Backend]:
    with _service(studio) as backend:
        yield backend


@pytest.fixture(scope="module")
def finding_all(studio: Studio) -> Iterator[Backend]:
    """Return a backend that gives tasks every mask of their images."""
    with _service(studio, everything=True) as backend:
        yield backend


@contextmanager
def _service(studio: Studio, *, everything: bool = False) -> Iterator[Backend]:
    token = new_token()
    grant = Grant("annotators", frozenset(Scope), digest_of(token))
    settings = {
        "SAM_LABEL_STUDIO_URL": studio.url,
        "SAM_LABEL_STUDIO_TOKEN": studio.personal_token,
        "SAM_TOKENS": grant.entry,
    }
    if everything:
        settings["SAM_LABEL_STUDIO_EVERYTHING"] = "true"
    with LocalStack(settings, mask_workers=everything) as stack:
        yield Backend(stack.url, token, stack)


@pytest.fixture(scope="session")
def editor(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        editor = Editor(driver, studio)
        editor.sign_in()
        yield editor
