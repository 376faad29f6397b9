"""The API and the worker find an architecture by its name."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from shared.contract.models import REGISTRY, Model


@pytest.mark.parametrize("model", REGISTRY.values(), ids=REGISTRY)
def test_each_registered_model_has_a_decoder_and_an_encoder(model: Model) -> None:
    assert find_spec(f"prompt_api.models.{model.architecture.name}.load") is not None
    assert find_spec(f"encoder_worker.backends.{model.architecture.name}.on_{model.runtime}") is not None


@pytest.mark.parametrize("model", REGISTRY.values(), ids=REGISTRY)
def test_an_embedding_has_a_batch_and_a_channel_axis(model: Model) -> None:
    architecture = model.architecture
    assert len({spec.name for spec in architecture.tensors}) == len(architecture.tensors) > 0
    assert all(spec.shape[0] == 1 and len(spec.shape) >= 2 for spec in architecture.tensors)
