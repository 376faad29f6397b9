"""`segment_anything.SamAutomaticMaskGenerator`'s interface over the service. An image is sent once; a worker of the
service finds its masks.

docs/client.md lists what differs from the original.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.pixels import png_of
from samcache.arrays.rle import counts_of_rle, mask_of_rle
from samcache.http.connection import DEFAULT_URL, Connected
from samcache.http.endpoint import Endpoint
from samcache.http.wire import Deadline
from samcache.predictor.core import checked_pixels
from samcache.service import flows
from samcache.service.resources import Everything, FoundMask

if TYPE_CHECKING:
    import httpx

OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]

TIMEOUT = 1_800.0
"""Seconds that one call of `generate` may take by default."""


class RemoteAutomaticMaskGenerator(Connected):
    """`SamAutomaticMaskGenerator` over the service. A context manager: it closes its connections at the end."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        points_per_side: int = 32,
        points_per_batch: int = 64,  # noqa: ARG002 - the service chooses its batches
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        min_mask_region_area: int = 0,
        output_mode: OutputMode = "binary_mask",
        mode: Literal["exact", "fast"] = "exact",
        model: str | None = None,
        token: str | None = None,
        timeout: float = TIMEOUT,
        http: httpx.Client | None = None,
    ) -> None:
        """
        Args:
            url: where the service answers.
            points_per_batch: ignored: it changes no mask, and the service chooses it.
            output_mode: what `segmentation` is: `binary_mask` an (H, W) bool array, `uncompressed_rle` COCO's RLE with
                a list of counts, `coco_rle` with text as pycocotools reads it.
            mode: `exact` decodes every point, as the original does; `fast` leaves out those that a mask covers.
            model: the name of a model that the service serves; None: its default.
            token: the token that the service knows you by, if it wants one.
            timeout: seconds that one call of `generate` may take in all. Waiting for the encoder counts.
            http: your own httpx client. You close it yourself.

        The others are those of `SamAutomaticMaskGenerator`, with its defaults.
        """
        assert output_mode in get_args(OutputMode), f"Unknown output_mode {output_mode}."
        super().__init__(Endpoint(url, token), http)
        self.model = model
        self.output_mode = output_mode
        self._timeout = timeout
        self.options: dict[str, Any] = {
            "points_per_side": points_per_side,
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "stability_score_offset": stability_score_offset,
            "box_nms_thresh": box_nms_thresh,
            "crop_n_layers": crop_n_layers,
            "crop_nms_thresh": crop_nms_thresh,
            "crop_overlap_ratio": crop_overlap_ratio,
            "crop_n_points_downscale_factor": crop_n_points_downscale_factor,
            "min_mask_region_area": min_mask_region_area,
            "mode": mode,
        }

    def generate(
        self, image: NDArray[np.uint8], on_progress: Callable[[Everything], None] | None = None
    ) -> list[dict[str, Any]]:
        """The masks of the image.

        Args:
            image: (H, W, 3) uint8, RGB.
            on_progress: called every few seconds with the job that has not ended.

        Returns:
            One record per mask, with the members that the original gives: `segmentation`, `area`, `bbox` (x, y, and a
            width and a height that are one less than the number of columns and rows, as the original counts them),
            `predicted_iou`, `point_coords` [[x, y]], `stability_score`, `crop_box`.

        Raises:
            AssertionError, TypeError: these are not the pixels of an RGB image.
            InvalidParameter: an option is out of range.
            SamCacheError: the service refuses the image, cannot find its masks in time, or does not answer.
        """
        return self.generate_file(png_of(checked_pixels(image)), on_progress)

    def generate_file(
        self, image: str | Path | bytes, on_progress: Callable[[Everything], None] | None = None
    ) -> list[dict[str, Any]]:
        """`generate` for a file of any format that the service accepts. Its EXIF orientation is applied.

        Args:
            image: path of the file, or its bytes.

        Raises:
            OSError: the file cannot be read.
            SamCacheError: as `generate`.
        """
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        flow = flows.everything(
            flows.image_id_of(data),
            self.options,
            self.model,
            Deadline.after(self._timeout),
            data=data,
            on_progress=on_progress,
        )
        return [self._record(mask) for mask in self._run(flow).masks]

    def _record(self, mask: FoundMask) -> dict[str, Any]:
        x, y, width, height = mask.bbox
        return {
            "segmentation": self._segmentation(mask),
            "area": mask.area,
            "bbox": [x, y, max(0, width - 1), max(0, height - 1)],
            "predicted_iou": mask.predicted_iou,
            "point_coords": [list(mask.point)],
            "stability_score": mask.stability_score,
            "crop_box": list(mask.crop_box),
        }

    def _segmentation(self, mask: FoundMask) -> Any:
        if self.output_mode == "binary_mask":
            return mask_of_rle(mask.rle)
        if self.output_mode == "coco_rle":
            return dict(mask.rle)
        return {"size": list(mask.rle["size"]), "counts": counts_of_rle(mask.rle)}
