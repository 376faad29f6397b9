"""Which served model answers for samapi's model types, weights and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from prompt_api.integrations.samapi.wire import SamType, SamWeights
from shared.contract.errors import ModelNotFound
from shared.contract.models import Model

OWN: Mapping[SamType, str] = MappingProxyType(
    {
        SamType.VIT_H: "vit_h",
        SamType.VIT_L: "vit_l",
        SamType.VIT_B: "vit_b",
        SamType.VIT_T: "mobile_sam",
        SamType.SAM2_L: "sam2.1_large",
        SamType.SAM2_BP: "sam2.1_base_plus",
        SamType.SAM2_S: "sam2.1_small",
        SamType.SAM2_T: "sam2.1_tiny",
    }
)
"""The model of each type, if it is served."""

_PUBLISHED = "https://dl.fbaipublicfiles.com/segment_anything"
OFFICIAL: Mapping[SamType, str] = MappingProxyType(
    {
        SamType.VIT_H: f"{_PUBLISHED}/sam_vit_h_4b8939.pth",
        SamType.VIT_L: f"{_PUBLISHED}/sam_vit_l_0b3195.pth",
        SamType.VIT_B: f"{_PUBLISHED}/sam_vit_b_01ec64.pth",
        SamType.VIT_T: "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
        SamType.SAM2_L: f"{_PUBLISHED}_2/072824/sam2_hiera_large.pt",
        SamType.SAM2_BP: f"{_PUBLISHED}_2/072824/sam2_hiera_base_plus.pt",
        SamType.SAM2_S: f"{_PUBLISHED}_2/072824/sam2_hiera_small.pt",
        SamType.SAM2_T: f"{_PUBLISHED}_2/072824/sam2_hiera_tiny.pt",
    }
)
"""The checkpoint that samapi takes for a type unless another is named. QuPath's scripts name it. Nothing is fetched."""

_SCHEME = "sam-embedding-cache:"


class SamModels:
    """The served models in samapi's terms."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        """Args:
        models: served models by name, the default first.
        """
        self._models = models

    def find(self, kind: SamType | None, checkpoint_url: str | None) -> Model:
        """Return the model for a request.

        The checkpoint decides if it is one of `weights`. The official checkpoint of a type, or none, means the model
        of the type. Without a type it is the default model.

        Raises:
            ModelNotFound: no served model fits. The message says what can be chosen.
        """
        if checkpoint_url and checkpoint_url.startswith(_SCHEME):
            model = self._models.get(checkpoint_url.removeprefix(_SCHEME))
        elif checkpoint_url and (kind is None or checkpoint_url != OFFICIAL.get(kind)):
            raise ModelNotFound(f"these weights are not served here; {self._choice()}")
        elif kind is None:
            model = next(iter(self._models.values()))
        else:
            model = self._models.get(OWN.get(kind, ""))
        if model is None:
            raise ModelNotFound(f"this SAM type is not served here; {self._choice()}")
        return model

    def weights(self, kind: SamType | None) -> list[SamWeights]:
        """Return what can be chosen for a type: its own model first, then every other served model.

        QuPath lets a person choose among these only, and fails without any. Without a type: for every type.
        """
        kinds = list(SamType) if kind is None else [kind]
        found: list[SamWeights] = []
        for one in kinds:
            own = [name for name in self._models if name == OWN.get(one)]
            others = [name for name in self._models if name not in own]
            found += [{"type": one, "name": name, "url": _SCHEME + name} for name in (*own, *others)]
        return found

    def _choice(self) -> str:
        types = [f"{kind} ({name})" for kind, name in OWN.items() if name in self._models]
        return f"served types: {', '.join(types) or 'none'}; served weights: {', '.join(self._models)}"
