"""Runs a built image's program on the image's file system as an engine would: as its user, read-only except /tmp."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.images.build import BuiltImage
from deploy.local.process import Child, ProcessGroup

_ENTER = """
set -e
root=$1 user=$2 data=$3
shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o size=64m tmpfs "$root/tmp"
[ -z "$data" ] || mount --bind "$data" "$root/data"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec chroot --userspec="$user" "$root" "$@"
"""


def start(
    image: BuiltImage,
    name: str,
    *,
    environ: Mapping[str, str],
    group: ProcessGroup,
    sink: Callable[[str], None],
    data: Path | None = None,
) -> Child:
    """Start the image's own command on this machine's network. `environ` overrides the image's variables.

    Args:
        data: the folder that is mounted as the volume /data, if there is one. The image's user must be able to
            write it.
    """
    command = _entered(image, image.config["Cmd"], data)
    return Child(name, command, environ={**image.environ, **environ}, group=group, sink=sink)


def run(image: BuiltImage, command: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run another command inside the image and wait for its end, at most 30 s."""
    return subprocess.run(
        _entered(image, command),
        env={**image.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _entered(image: BuiltImage, command: Sequence[str], data: Path | None = None) -> list[str]:
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
    return [*prefix, str(image.root), image.config["User"], str(data or ""), *command]
