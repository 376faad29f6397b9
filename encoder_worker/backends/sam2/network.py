"""The networks of SAM 2.1 and EdgeTAM, and their image encoders in mixed precision.

transformers builds them from a configuration. Nothing is looked up or fetched from a hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from encoder_worker.backends.sam2.attention import plain_attention
from shared.contract.models import EMBEDDING, HIGH_RES_S0, HIGH_RES_S1


@dataclass(frozen=True, slots=True)
class Hiera:
    """What tells the Hiera trunks of SAM 2.1 apart.

    Source: sam2/configs/sam2.1/*.yaml, and the defaults of sam2.modeling.backbones.hieradet.Hiera.

    Attributes:
        width: channels of the first of the four stages. Each later stage has twice as many.
        heads: attention heads of the first stage. Each later stage has twice as many.
        blocks: number of blocks of each stage.
        global_blocks: the blocks that attend over the whole image, counted over all stages.
        background: rows and columns of the position embedding that is stretched over the image.
        windows: side of the windows of each stage, in places.
    """

    width: int
    heads: int
    blocks: tuple[int, int, int, int]
    global_blocks: tuple[int, ...]
    background: int = 7
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)


@dataclass(frozen=True, slots=True)
class RepVit:
    """EdgeTAM's trunk, a RepViT of timm. Source: EdgeTAM's sam2/configs/edgetam.yaml.

    Attributes:
        name: of the network in timm.
        width: channels of the first of the four stages. Each later stage has twice as many.
    """

    name: str
    width: int


NETWORKS: dict[str, Hiera | RepVit] = {
    "sam2.1_tiny": Hiera(96, 1, (1, 2, 7, 2), (5, 7, 9)),
    "sam2.1_small": Hiera(96, 1, (1, 2, 11, 2), (7, 10, 13)),
    "sam2.1_base_plus": Hiera(112, 2, (2, 3, 16, 3), (12, 16, 20), background=14),
    "sam2.1_large": Hiera(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
    "edgetam": RepVit("repvit_m1", 48),
}
"""The trunks by the name of their network."""

_STAGES = 4


def configuration(trunk: Hiera | RepVit) -> Any:
    """transformers' configuration of the network that has this trunk: a `Sam2Config` or an `EdgeTamConfig`."""
    ensure_torchvision_imports()  # transformers imports torchvision if it is installed
    from transformers import (  # noqa: PLC0415  # only now can it be imported
        EdgeTamConfig,
        EdgeTamVisionConfig,
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2VisionConfig,
        TimmWrapperConfig,
    )

    widths = [trunk.width << stage for stage in range(_STAGES)]
    if isinstance(trunk, RepVit):
        import timm  # noqa: F401, PLC0415  # transformers would not say which module is missing

        features = {"in_chans": 3, "features_only": True, "out_indices": list(range(_STAGES))}
        backbone = TimmWrapperConfig(architecture=trunk.name, model_args=features)
        return EdgeTamConfig(
            vision_config=EdgeTamVisionConfig(backbone_config=backbone, backbone_channel_list=widths[::-1])
        )
    hiera = Sam2HieraDetConfig(
        hidden_size=trunk.width,
        num_attention_heads=trunk.heads,
        blocks_per_stage=list(trunk.blocks),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[trunk.heads << stage for stage in range(_STAGES)],
        window_size_per_stage=list(trunk.windows),
        global_attention_blocks=list(trunk.global_blocks),
        window_positional_embedding_background_size=[trunk.background, trunk.background],
    )
    return Sam2Config(vision_config=Sam2VisionConfig(backbone_config=hiera, backbone_channel_list=widths[::-1]))


def empty_model(network: str) -> Any:
    """transformers' `Sam2Model` or `EdgeTamModel`. Its weights have no memory yet: the caller assigns them."""
    trunk = NETWORKS[network]
    config = configuration(trunk)
    from transformers import EdgeTamModel, Sam2Model  # noqa: PLC0415  # after `configuration`

    with torch.device("meta"):
        model = EdgeTamModel(config) if isinstance(trunk, RepVit) else Sam2Model(config)
    return model.eval().requires_grad_(False)


class Network(nn.Module):
    """The image side of a `Sam2Model` or `EdgeTamModel`, whose trunk runs in `dtype`.

    The results are those of its `get_image_embeddings`, without what image prompts do not need: the lowest level of the
    pyramid is only added to the next one, and no position encodings are made, which only the tracker reads.

    The first layer of Hiera, the pyramid and what follows stay in float32. They are a small part of the work, and the
    precision of the result depends on them.
    """

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        """
        Args:
            model: with its weights, on the device. Its trunk is changed to `dtype`.
        """
        super().__init__()
        backbone = model.vision_encoder.backbone
        self._trunk = _RepVitTrunk(backbone, dtype) if hasattr(backbone, "timm_model") else _HieraTrunk(backbone, dtype)
        self._laterals = nn.ModuleList(reversed(model.vision_encoder.neck.convs))
        self._to_s0, self._to_s1 = model.mask_decoder.conv_s0, model.mask_decoder.conv_s1
        self._no_memory: Tensor
        self.register_buffer("_no_memory", model.no_memory_embedding.detach().view(1, -1, 1, 1), persistent=False)

    @property
    def parts(self) -> Sequence[nn.Module]:
        """What is compiled: the whole, because the stages of a Hiera are not equal."""
        return [self]

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """(B, 3, 1024, 1024) float32, normalised, to SAM 2's three tensors, float32.

        They are `embedding` (B, 256, 64, 64), `high_res_s1` (B, 64, 128, 128) and `high_res_s0` (B, 32, 256, 256).
        """
        levels = zip(self._laterals, self._trunk(frames), strict=True)
        quarter, eighth, sixteenth, lowest = (lateral(features.float()) for lateral, features in levels)
        embedding = sixteenth + functional.interpolate(lowest, scale_factor=2.0, mode="nearest")
        return {
            EMBEDDING: embedding + self._no_memory,
            HIGH_RES_S1: self._to_s1(eighth),
            HIGH_RES_S0: self._to_s0(quarter),
        }


class _HieraTrunk(nn.Module):
    """transformers' `Sam2HieraDetModel`, whose blocks run in `dtype`."""

    def __init__(self, backbone: Any, dtype: torch.dtype) -> None:
        super().__init__()
        plain_attention(backbone)
        backbone.blocks.to(dtype)
        self._patches = backbone.patch_embed
        self._blocks = backbone.blocks
        self._ends = frozenset(backbone.stage_ends)
        self._dtype = dtype
        side = backbone.config.image_size[0] // backbone.config.patch_stride[0]
        self._positions: Tensor
        self.register_buffer("_positions", _positions(backbone, side), persistent=False)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(B, 3, S, S) float32 to the features of each stage, (B, C, H, W) in `dtype`, the highest resolution first."""
        x = (self._patches(frames) + self._positions).to(self._dtype)
        features: list[Tensor] = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self._ends:
                features.append(x.permute(0, 3, 1, 2))
        return features


class _RepVitTrunk(nn.Module):
    """timm's RepViT, which runs in `dtype`."""

    def __init__(self, backbone: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self._features = backbone.timm_model.to(dtype)
        self._dtype = dtype

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(B, 3, S, S) float32 to the features of each stage, (B, C, H, W) in `dtype`, the highest resolution first."""
        features: list[Tensor] = self._features(frames.to(self._dtype))
        return features


def _positions(backbone: Any, side: int) -> Tensor:
    """(1, side, side, C): Hiera's position embedding, which is the same for every image.

    The part for the whole image is stretched, the part for a window is repeated.
    Source: sam2.modeling.backbones.hieradet.Hiera; Bolya et al., "Window Attention is Bugged".
    """
    window: Tensor = backbone.pos_embed_window.detach()
    whole: Tensor = functional.interpolate(backbone.pos_embed.detach(), size=(side, side), mode="bicubic")
    repeats = side // window.shape[-1]
    return (whole + window.tile((1, 1, repeats, repeats))).permute(0, 2, 3, 1)
