"""The registry of backends: which module runs which model."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Protocol, cast

from encoder_worker.encoding.encoder import Encoder
from shared.errors import ConfigurationError
from shared.models import FAKE, MOBILE_SAM, VIT_B, VIT_H, VIT_L, Model
from shared.settings import Settings

BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        MOBILE_SAM.name: "encoder_worker.backends.onnx.encoder",
        VIT_B.name: "encoder_worker.backends.sam1.load",
        VIT_L.name: "encoder_worker.backends.sam1.load",
        VIT_H.name: "encoder_worker.backends.sam1.load",
        FAKE.name: "encoder_worker.backends.fake",
    }
)
"""The module that runs a model, by the model's name. It has the functions of `Backend`."""


class Backend(Protocol):
    """What a module of `BACKENDS` offers."""

    def load(self, model: Model, settings: Settings) -> Encoder: ...


class CheckpointBackend(Backend, Protocol):
    """A backend whose models come as checkpoints, which hold the mask decoder too."""

    def export_decoder(self, model: Model, settings: Settings) -> Model: ...


def load_encoder(model: Model, settings: Settings) -> Encoder:
    """The encoder of `model`, ready: its first encoding takes no longer than the next.

    Raises:
        ConfigurationError: no backend runs this model, or its runtime is not installed.
        WeightsError: its weights are missing, damaged or cannot be fetched.
    """
    return cast(Backend, _backend(model)).load(model, settings)


def export_decoder(model: Model, settings: Settings) -> None:
    """Write the decoder file of the checkpoint that the settings name, for an API without torch.

    Raises:
        ConfigurationError: the model has no checkpoint, or its runtime is not installed.
        WeightsError: its checkpoint is missing, damaged or cannot be fetched.
    """
    if model.checkpoint is None:
        raise ConfigurationError(f"SAM_MODEL={model.name} has no checkpoint, and needs no decoder file")
    cast(CheckpointBackend, _backend(model)).export_decoder(model, settings)


def _backend(model: Model) -> ModuleType:
    if model.name not in BACKENDS:
        raise ConfigurationError(f"no encoder runs {model.name!r}; this worker has {', '.join(BACKENDS)}")
    try:
        return import_module(BACKENDS[model.name])
    except ModuleNotFoundError as error:
        extra = "torch" if model.checkpoint is not None else "worker"
        raise ConfigurationError(
            f"{model.name} needs {error.name}, which is not installed: pip install '.[{extra}]' in the project's folder"
        ) from error
