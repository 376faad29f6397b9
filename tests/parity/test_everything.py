"""Everything mode, compared with `SamAutomaticMaskGenerator` on the same embeddings: real weights and photos.

The grids are small here, because Meta's side takes long. `python -m bench.everything --parity` compares whole grids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from prompt_api.everything.generate import generate
from prompt_api.everything.options import EverythingOptions
from prompt_api.models.interface import LoadedDecoder
from prompt_api.models.sam1.decoder import Sam1Decoder
from prompt_api.models.two_way.graph_cache import DecoderGraphs
from shared.contract.models import MOBILE_SAM
from tests.support.automatic import Agreement, Automatic, agreement
from tests.support.everything_material import Embedder, source_of

LEAST_IOU = 0.999

Floats = NDArray[np.float32]

SETS: dict[str, dict[str, Any]] = {
    "default": {"points_per_side": 5},
    "crops": {"points_per_side": 4, "crop_n_layers": 1, "crop_n_points_downscale_factor": 2},
    "small regions": {
        "points_per_side": 4,
        "pred_iou_thresh": 0.7,
        "stability_score_thresh": 0.85,
        "stability_score_offset": 0.7,
        "box_nms_thresh": 0.9,
        "min_mask_region_area": 200,
    },
}


Compare = Callable[[NDArray[np.uint8], dict[str, Any]], Agreement]


@pytest.fixture(scope="module")
def compare(weights: Path, graphs: DecoderGraphs, decoder_weights: Mapping[str, Floats]) -> Compare:
    """Return the function that finds the masks of a photo (H, W, 3) on both sides."""
    embed = Embedder(weights / "encoder.onnx")
    decoder = LoadedDecoder(MOBILE_SAM, Sam1Decoder(graphs, weights_digest="0" * 64, threads=1, cores=1))
    meta = Automatic(decoder_weights, embed)

    def both(rgb: NDArray[np.uint8], options: dict[str, Any]) -> Agreement:
        given, size = EverythingOptions.of(options), rgb.shape[:2]
        source = source_of(rgb, embed, decoder)
        ours = generate(source, given, size, report=lambda *_: None, stopped=lambda: False)
        return agreement(ours, meta.generate(rgb, **options))

    return both


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("photo", ["astronaut", "coffee", "chelsea"])
def test_the_masks_are_those_of_the_automatic_generator(
    photo: str, name: str, compare: Compare, record_testsuite_property: Callable[[str, object], None]
) -> None:
    found = compare(getattr(skimage.data, photo)(), SETS[name])
    record_testsuite_property(f"everything: {photo}, {name}", found)
    assert found.ours == found.theirs > 1
    assert found.least_iou >= LEAST_IOU
    assert found.most_score < 1e-4
    assert found.most_stability < 1e-3
    assert found.out_of_order == 0
    assert found.others == 0
