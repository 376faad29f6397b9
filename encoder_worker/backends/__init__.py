"""Image encoders by model. A backend is imported only when its model is asked for: each brings a heavy runtime."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Protocol, cast

from encoder_worker.encoder import Encoder
from shared.contract.errors import ConfigurationError
from shared.contract.models import FAKE, MOBILE_SAM, VIT_B, VIT_H, VIT_L, Model
from shared.contract.settings import Settings

_MODULES = {
    MOBILE_SAM.name: "encoder_worker.backends.onnx",
    VIT_B.name: "encoder_worker.backends.torch_sam",
    VIT_L.name: "encoder_worker.backends.torch_sam",
    VIT_H.name: "encoder_worker.backends.torch_sam",
    FAKE.name: "encoder_worker.backends.fake",
}


class Backend(Protocol):
    """A module that runs models of one kind."""

    def load(self, model: Model, settings: Settings) -> Encoder: ...


def load_encoder(model: Model, settings: Settings) -> Encoder:
    """The encoder of `model`, ready: its first encoding takes no longer than the next.

    Raises:
        ConfigurationError: no backend runs this model, or its runtime is not installed.
        WeightsError: its weights are missing, damaged or cannot be fetched.
    """
    return cast(Backend, import_backend(model)).load(model, settings)


def import_backend(model: Model) -> ModuleType:
    """The module that runs `model`.

    Raises:
        ConfigurationError: there is none, or its runtime is not installed.
    """
    if model.name not in _MODULES:
        raise ConfigurationError(f"no encoder runs {model.name!r}; this worker has {', '.join(_MODULES)}")
    try:
        return import_module(_MODULES[model.name])
    except ModuleNotFoundError as error:
        extra = "torch" if model.checkpoint is not None else "worker"
        raise ConfigurationError(
            f"{model.name} needs {error.name}, which is not installed: pip install '.[{extra}]' in the project's folder"
        ) from error
