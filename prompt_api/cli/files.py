"""Image files of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

MAX_BYTES = 256 * 1024 * 1024
"""Bytes of a file that are read: far above what a service takes, so that a wrong file cannot fill the memory."""


class UnreadableFile(Exception):
    """A file of this machine cannot be used; the message is a sentence."""


def read_image(path: Path) -> bytes:
    """The file's bytes, whatever they are.

    Raises:
        UnreadableFile: it cannot be read, or is too large to be an image.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UnreadableFile(f"{path} is larger than any image the service takes")
    return data


def images_in(folder: Path, *, recursive: bool) -> list[Path]:
    """The JPEG, PNG and WEBP files by their names, sorted; hidden files and folders left out."""
    return sorted(_images(folder, recursive=recursive))


def _images(folder: Path, *, recursive: bool) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if recursive and not path.is_symlink():
                yield from _images(path, recursive=True)
        elif path.suffix.lower() in SUFFIXES:
            yield path
