"""The form of SAM 2's mask decoder."""

from __future__ import annotations

from prompt_api.models.two_way.network import Network
from shared.contract.models import SAM2

NETWORK = Network(SAM2, leading=("obj_score_token", "iou_token"), sigmoid_scores=True, padded=False, limit=32.0)
"""Sources: sam2.modeling.sam.mask_decoder.MaskDecoder, as the configurations of SAM 2, SAM 2.1 and EdgeTAM set it; for
the limit, sam2.sam2_image_predictor.SAM2ImagePredictor."""
