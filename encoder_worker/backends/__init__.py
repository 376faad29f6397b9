"""Image encoders by model. A backend is imported only when its model is asked for: each brings a heavy runtime."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from encoder_worker.encoder import Encoder
from shared.errors import ConfigurationError
from shared.models import FAKE, MOBILE_SAM, Model
from shared.settings import Settings

_MODULES = {
    MOBILE_SAM.name: "encoder_worker.backends.onnx",
    FAKE.name: "encoder_worker.backends.fake",
}


class _Backend(Protocol):
    def load(self, model: Model, settings: Settings) -> Encoder: ...


def load_encoder(model: Model, settings: Settings) -> Encoder:
    """The encoder of `model`, its weights in memory.

    Raises:
        ConfigurationError: no backend runs this model.
        WeightsError: its weights are missing, damaged or cannot be fetched.
    """
    if model.name not in _MODULES:
        raise ConfigurationError(f"no encoder runs {model.name!r}; this worker has {', '.join(_MODULES)}")
    backend = cast(_Backend, import_module(_MODULES[model.name]))
    return backend.load(model, settings)
