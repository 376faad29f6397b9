"""A bucket in an S3 on this machine. Moto, in Label Studio's environment, is the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.label_studio.server import free_port, running_server
from tests.label_studio.studio import EXECUTABLE

START_SECONDS = 120.0


@dataclass(frozen=True)
class Bucket:
    """Attributes:
    endpoint: address of the S3.
    name: name of the bucket.
    """

    endpoint: str
    name: str

    @property
    def form(self) -> dict[str, str]:
        """The fields of Label Studio's form for a storage. Moto takes any credentials."""
        return {
            "bucket": self.name,
            "s3_endpoint": self.endpoint,
            "aws_access_key_id": "any key",
            "aws_secret_access_key": "any secret",
        }

    def put(self, key: str, body: bytes) -> None:
        httpx.put(f"{self.endpoint}/{self.name}/{key}", content=body).raise_for_status()


@contextmanager
def running_bucket() -> Iterator[Bucket]:
    """Run an S3 with an empty bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(Path(EXECUTABLE).with_name("moto_server")), "--host", "127.0.0.1", "--port", str(port)]
    with running_server("moto", command, os.environ, health=f"{url}/moto-api/", seconds=START_SECONDS):
        bucket = Bucket(url, "pictures")
        httpx.put(f"{url}/{bucket.name}").raise_for_status()
        yield bucket
