"""The picture formats that the service accepts: one list for readers, errors, OpenAPI and tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """One accepted file format.

    Attributes:
        name: used in messages and in `ImageInfo.format`.
        media_types: the first one is the registered name; the others are in use too.
        suffixes: usual ends of file names, in lower case.
    """

    name: str
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]


PICTURE_FORMATS = (
    PictureFormat("JPEG", ("image/jpeg",), (".jpg", ".jpeg")),
    PictureFormat("PNG", ("image/png",), (".png",)),
    PictureFormat("WEBP", ("image/webp",), (".webp",)),
    PictureFormat("TIFF", ("image/tiff",), (".tif", ".tiff")),
    PictureFormat("BMP", ("image/bmp",), (".bmp",)),
    PictureFormat("AVIF", ("image/avif",), (".avif",)),
    PictureFormat("HEIC", ("image/heic", "image/heif"), (".heic", ".heif")),
)

NAMES = tuple(each.name for each in PICTURE_FORMATS)
MEDIA_TYPES = tuple(media_type for each in PICTURE_FORMATS for media_type in each.media_types)
NAMED = f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
"""The names as a sentence lists them: `JPEG, PNG, … or HEIC`."""
