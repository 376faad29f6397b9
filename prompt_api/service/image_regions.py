"""The regions of an image that were asked for: which they are, so that they go with the image, and how many."""

from __future__ import annotations

import logging

from shared.contract.keys import regions_key
from shared.contract.region import Region
from shared.store.interface import Rows

_log = logging.getLogger(__name__)


class ImageRegions:
    """A row of regions for each image, the one that was asked for last at the end.

    The row is in the cache, which may evict it. Then the embeddings of its regions can no longer be found, so they are
    not deleted with the image. Nobody is answered from them all the same, because the image's record is gone, and they
    expire.
    """

    def __init__(self, *, rows: Rows, most: int, ttl: int) -> None:
        """Args:
        most: regions that are kept of one image.
        ttl: seconds for which a row is kept after the last region was asked for.
        """
        self._rows = rows
        self._most = most
        self._ttl = ttl

    @property
    def most(self) -> int:
        """Regions that are kept of one image."""
        return self._most

    def note(self, image_id: str, region: Region) -> list[Region]:
        """Note that the region was asked for. Return the regions that must make way for it."""
        return _read(self._rows.renew_in_row(regions_key(image_id), region.text, self._most, self._ttl))

    def of(self, image_id: str) -> list[Region]:
        """Return the regions of the image, the one that was asked for longest ago first."""
        return _read(self._rows.row(regions_key(image_id)))


def _read(entries: list[str]) -> list[Region]:
    regions: list[Region] = []
    for entry in entries:
        try:
            regions.append(Region.read(entry))
        except ValueError:  # not written by this service
            _log.warning("ignored an entry that names no region")
    return regions
