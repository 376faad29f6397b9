"""Loads the image encoder without weights."""

from __future__ import annotations

from encoder_worker.backends.fake.encoder import FakeEncoder
from shared.contract.models import Model
from shared.contract.settings import Settings


def load(model: Model, settings: Settings) -> FakeEncoder:  # noqa: ARG001  # a backend's common signature
    return FakeEncoder(settings.encode_batch or 1)
