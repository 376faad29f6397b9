"""Image files of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif"),
}
"""The formats that the service accepts, and the usual ends of their file names."""

NAMED = f"{', '.join(list(FORMATS)[:-1])} or {list(FORMATS)[-1]}"
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

MAX_BYTES = 256 * 1024 * 1024
"""Most bytes of a file that are read. No service takes as many. It keeps a wrong file from filling the memory."""


class UnreadableFile(Exception):
    """A file of this machine cannot be used. The message is a sentence that says why."""


def read_image(path: Path) -> bytes:
    """The file's bytes, whatever they are.

    Raises:
        UnreadableFile: the file cannot be read, or is too large to be an image.
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
    """The paths of the image files, sorted. Names decide; hidden files and folders are left out.

    Raises:
        UnreadableFile: the folder, or one inside it, cannot be read.
    """
    try:
        return sorted(_images(folder, recursive=recursive))
    except OSError as error:
        raise UnreadableFile(f"{error.filename} cannot be read: {error.strerror}") from error


def _images(folder: Path, *, recursive: bool) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if recursive and not path.is_symlink():
                yield from _images(path, recursive=True)
        elif path.suffix.lower() in SUFFIXES:
            yield path
