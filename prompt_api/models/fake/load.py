"""Loads the mask decoder without weights."""

from __future__ import annotations

from prompt_api.models.fake.decoder import FakeDecoder
from prompt_api.models.interface import LoadedDecoder
from shared.contract.models import Model
from shared.contract.settings import Settings


def load(model: Model, settings: Settings) -> LoadedDecoder:  # noqa: ARG001  # what every architecture offers
    """There is nothing to read."""
    return LoadedDecoder(model, FakeDecoder())
