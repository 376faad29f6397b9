"""Builds images from the Dockerfiles with `buildah`, on a Debian base from `debootstrap`.

This needs no container engine and no image registry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from deploy.local.process import ROOT, StackError

_BASE = "localhost/sam-base"
_SUITE = "bookworm"
_SLOW = 1800.0
"""Seconds that one build may take: it fetches a base system or all dependencies."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists", "var/log")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image as a container engine would see it.

    Attributes:
        root: its mounted file system. Do not write to it.
        config: the declarations of its Dockerfile: `Env`, `Cmd`, `User`, `Labels`, `Healthcheck`, `StopSignal`.
    """

    name: str
    root: Path
    config: Mapping[str, Any]

    @property
    def megabytes(self) -> float:
        """Size of its unpacked files in MB of 10^6 bytes. A file with several hard links counts once."""
        seen: dict[tuple[int, int], int] = {}
        for folder, _, files in os.walk(self.root):
            for file in files:
                stat = os.lstat(Path(folder, file))
                seen[stat.st_dev, stat.st_ino] = stat.st_size
        return sum(seen.values()) / 1e6

    @property
    def environ(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.config["Env"])


class Builder:
    """Builds images in `folder`, which keeps their layers for the next build. Needs root, buildah and debootstrap."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            StackError: root or a tool is missing. The message says which.
        """
        if os.geteuid() != 0:
            raise StackError("images are built as root: file systems are mounted and owners kept")
        missing = [tool for tool in ("buildah", "debootstrap", "unshare", "chroot") if shutil.which(tool) is None]
        if missing:
            raise StackError(f"{', '.join(missing)} not found: apt-get install buildah debootstrap")
        self._folder = folder
        self._containers: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)

    def build(self, dockerfile: str, name: str, **arguments: str) -> BuiltImage:
        """Build a Dockerfile of the checkout and mount its image.

        Args:
            arguments: values of the Dockerfile's build arguments.

        Raises:
            StackError: a build step failed. The message ends with its last lines of output.
        """
        self._ensure_base()
        command = ["build", "--format", "docker", "--isolation", "chroot", "--layers"]
        for argument, value in {"BASE": _BASE, **arguments}.items():
            command += ["--build-arg", f"{argument}={value}"]
        if bundle := os.environ.get("SSL_CERT_FILE"):  # a network with its own certificate authority
            command += ["--volume", f"{bundle}:{_CERTIFICATES}:ro"]
        self._buildah(*command, "--file", str(ROOT / dockerfile), "--tag", name, str(ROOT))
        container = self._buildah("from", "--pull-never", name)
        self._containers.append(container)
        root = Path(self._buildah("mount", container))
        inspected = json.loads(self._buildah("inspect", "--type", "image", name))
        return BuiltImage(name, root, cast(dict[str, Any], inspected["Docker"]["config"]))

    def close(self) -> None:
        """Unmount all images. Images and layers stay in the folder."""
        for container in self._containers:
            self._buildah("rm", container)
        self._containers.clear()

    def _ensure_base(self) -> None:
        if self._buildah("images", "--quiet", "--filter", f"reference={_BASE}"):
            return
        system = self._folder / "base"
        shutil.rmtree(system, ignore_errors=True)
        packages = "ca-certificates,python3,python3-venv"
        _run("debootstrap", "--variant=minbase", f"--include={packages}", _SUITE, str(system))
        for unwanted in _UNWANTED:
            shutil.rmtree(system / unwanted, ignore_errors=True)
            (system / unwanted).mkdir()
        container = self._buildah("from", "scratch")
        self._buildah("copy", "--quiet", container, str(system), "/")
        self._buildah("config", "--env", f"PATH={_PATH}", container)
        self._buildah("commit", "--quiet", "--rm", container, _BASE)
        shutil.rmtree(system)

    def _buildah(self, *arguments: str) -> str:
        storage = ("--root", str(self._folder / "storage"), "--runroot", str(self._folder / "run"))
        return _run("buildah", *storage, *arguments)


def _run(*command: str) -> str:
    """Run the command and return its output, without white space at the ends."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SLOW, check=False)
    except subprocess.TimeoutExpired:
        raise StackError(f"{' '.join(command[:8])} … took more than {_SLOW:.0f} s") from None
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise StackError(f"{' '.join(command)} failed:\n{last}")
    return done.stdout.strip()
