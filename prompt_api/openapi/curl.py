"""Writes operations as curl commands, for a shell with an image id in `IMAGE_ID` and a token in `SAMCACHE_TOKEN`."""

from __future__ import annotations

import shlex
from typing import Any

from prompt_api.openapi.prose import json_text

_VARIABLES = {"image_id": "$IMAGE_ID"}


def commands(
    method: str, path: str, operation: dict[str, Any], parameters: list[dict[str, Any]], base: str
) -> list[str]:
    """Return curl commands for an operation, one for each example of its body.

    Args:
        parameters: the operation's parameters, resolved.
        base: URL of the service without a final slash.
    """
    for parameter in parameters:
        if parameter["in"] == "path":
            value = _VARIABLES.get(parameter["name"], parameter.get("example"))
            path = path.replace(f"{{{parameter['name']}}}", str(value))
    query = "".join(f"?wait={p['schema']['maximum']}" for p in parameters if p["name"] == "wait")
    url = f'"{base}{path}{query}"'
    curl = program(operation)
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        bodies = [example["value"] for example in content["application/json"]["examples"].values()]
        kind = shlex.quote("Content-Type: application/json")
        return [f"{curl} {url} \\\n  -H {kind} \\\n  -d {shlex.quote(json_text(body))}" for body in bodies]
    if content:
        return [f"{curl} --data-binary @photo.jpg {url}", f"{curl} -F image=@photo.jpg {url}"]
    return [" ".join([curl, *map(shlex.quote, _options(method, path, operation)), url])]


def program(operation: dict[str, Any]) -> str:
    """Return `curl`, with the token if the operation needs one."""
    return 'curl -H "Authorization: Bearer $SAMCACHE_TOKEN"' if operation.get("security") else "curl"


def _options(method: str, path: str, operation: dict[str, Any]) -> list[str]:
    if method != "GET":
        return ["--head"] if method == "HEAD" else ["-X", method]
    kinds = operation["responses"]["200"].get("content", {})
    if "text/event-stream" in kinds:
        return ["--no-buffer"]
    if "application/octet-stream" in kinds:
        name = path.rpartition("/")[2]
        return ["--output", name if "." in name else f"{name}.npy"]
    return []
