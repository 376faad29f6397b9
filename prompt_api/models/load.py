"""The mask decoder of a model, ready for prompts."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from prompt_api.models.interface import LoadedDecoder
from shared.contract.models import Model
from shared.contract.settings import Settings


class ArchitectureModule(Protocol):
    """What `prompt_api.models.<architecture>.load` offers."""

    def load(self, model: Model, settings: Settings) -> LoadedDecoder: ...


def load_decoder(model: Model, settings: Settings) -> LoadedDecoder:
    """The decoder of `model`, by the folder that has its architecture's name.

    No session of ONNX Runtime is made yet, so the process may still fork.

    Raises:
        WeightsError: weights are missing or damaged, or files cannot be written.
    """
    module = import_module(f"prompt_api.models.{model.architecture.name}.load")
    return cast(ArchitectureModule, module).load(model, settings)
