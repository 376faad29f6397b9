"""The form of SAM's mask decoder."""

from __future__ import annotations

from prompt_api.models.two_way.network import Network
from shared.contract.models import SAM1

NETWORK = Network(SAM1, leading=("iou_token",), sigmoid_scores=False, padded=True, limit=None)
"""Source: segment_anything.modeling.MaskDecoder."""
