"""The registry of backends: which module runs which models."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Protocol, cast

from encoder_worker.encoding.encoder import Encoder
from shared.contract.errors import ConfigurationError
from shared.contract.models import FAKE, SAM1, Model
from shared.contract.settings import Settings

BACKENDS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (SAM1.name, "onnx"): "encoder_worker.backends.onnx.encoder",
        (SAM1.name, "torch"): "encoder_worker.backends.sam1.load",
        (FAKE.architecture.name, "none"): "encoder_worker.backends.fake",
    }
)
"""The module that runs a model, by the model's architecture and runtime. It has the functions of `Backend`."""


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
    name = BACKENDS.get((model.architecture.name, model.runtime))
    if name is None:
        raise ConfigurationError(
            f"this worker has no encoder for {model.name}: {model.architecture.name} on {model.runtime}"
        )
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        extra = "torch" if model.checkpoint is not None else "worker"
        raise ConfigurationError(
            f"{model.name} needs {error.name}, which is not installed: pip install '.[{extra}]' in the project's folder"
        ) from error
