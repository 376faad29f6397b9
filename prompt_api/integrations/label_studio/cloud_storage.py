"""Turns the URI of a file in cloud storage into the path under which Label Studio gives it out."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode

_IN_CLOUD_STORAGE = re.compile(r"(s3|gs|azure-blob)://", re.IGNORECASE)
"""Starts the URIs that Label Studio writes for its storages of Amazon S3, Google Cloud and Azure."""

_TASK_ID = re.compile(r"[0-9]{1,19}", re.ASCII)


def reachable(reference: str, task_id: int | str | None) -> str:
    """Return the reference under which the image can be fetched.

    For a file in cloud storage it is a path of Label Studio, which knows the storage's credentials. Other references
    stay as they are, and so does a URI without the id of a task that Label Studio could look up.
    """
    if not _IN_CLOUD_STORAGE.match(reference) or not _TASK_ID.fullmatch(str(task_id)):
        return reference
    # Label Studio reads the URI from base64 first. Text that is not base64 can be misread as base64.
    uri = urlsafe_b64encode(reference.encode("utf-8", "surrogatepass")).decode("ascii")
    return f"/tasks/{task_id}/presign/?fileuri={uri}"
