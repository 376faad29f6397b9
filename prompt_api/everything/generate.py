"""Every mask of an image."""

from __future__ import annotations

from collections.abc import Callable

from prompt_api.everything.interface import MaskRecord, Report, Source
from prompt_api.everything.options import EverythingOptions
from shared.contract.geometry import Size


def generate(
    source: Source, options: EverythingOptions, size: Size, *, report: Report, stopped: Callable[[], bool]
) -> list[MaskRecord]:
    """Return the masks of the image, the best first within each crop.

    Args:
        source: gives the image of each crop.
        size: (height, width) of the EXIF-oriented original.
        report: is called after each batch of points, in the calling thread.
        stopped: is asked before each batch. Once it returns True, the masks found so far are returned.

    Source: segment_anything.automatic_mask_generator.SamAutomaticMaskGenerator.generate.
    """
    raise NotImplementedError
