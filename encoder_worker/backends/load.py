"""Loads the image encoder of a model, from the backend that its architecture and its runtime name.

The module `encoder_worker.backends.<architecture>.on_<runtime>` runs every model of that architecture and runtime. It
is imported only when a model needs it, because each brings a heavy runtime.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from types import ModuleType
from typing import Protocol, cast

from encoder_worker.encoding.encoder import Encoder
from shared.contract.errors import ConfigurationError
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import is_handed_over

_BACKENDS = "encoder_worker.backends"
_PROJECT = "sam-embedding-cache"


class Backend(Protocol):
    """What the module of a backend offers."""

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
    with _explained_imports(model):
        return cast(Backend, _backend(model)).load(model, settings)


def export_decoder(model: Model, settings: Settings) -> None:
    """Write the decoder file of the checkpoint that the settings name, for an API without torch.

    Raises:
        ConfigurationError: the model has no checkpoint, or its runtime is not installed.
        WeightsError: its checkpoint is missing, damaged or cannot be fetched.
    """
    if not is_handed_over(model):
        raise ConfigurationError(f"SAM_MODEL={model.name} has no checkpoint, and needs no decoder file")
    with _explained_imports(model):
        cast(CheckpointBackend, _backend(model)).export_decoder(model, settings)


def _backend(model: Model) -> ModuleType:
    name = f"{_BACKENDS}.{model.architecture.name}.on_{model.runtime}"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or name).startswith(_BACKENDS):
            raise ConfigurationError(
                f"this worker has no encoder for {model.name}: {model.architecture.name} on {model.runtime}"
            ) from None
        raise


@contextmanager
def _explained_imports(model: Model) -> Iterator[None]:
    """Say what to install if a backend needs a module that is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = error.name or "a module"
        extra = "worker" if missing == "onnxruntime" else "sam2" if model.architecture.name == "sam2" else "torch"
        raise ConfigurationError(
            f"{model.name} needs {missing}, which is not installed; in the project's folder, run: {install_line(extra)}"
        ) from error


def install_line(extra: str) -> str:
    """Return the command that installs the packages of an extra of this project, beside what is installed.

    The packages are named one by one: `pip install '.[torch]'` would also install the project a second time.
    """
    try:
        listed = requires(_PROJECT) or []
    except PackageNotFoundError:
        listed = []
    mark = f'extra == "{extra}"'
    named = [line.partition(";")[0].strip() for line in listed if line.partition(";")[2].strip() == mark]
    packages = named or [f".[{extra}]"]
    return f"{shlex.quote(sys.executable)} -m pip install --constraint constraints.txt {shlex.join(packages)}"
