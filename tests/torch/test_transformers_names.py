"""SAM in transformers' form is the same network under other names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from encoder_worker.backends.sam1.checkpoint_file import empty_sam, read_checkpoint
from prompt_api.models.sam1.entry_weights import read_entry
from shared.contract.errors import WeightsError
from shared.weights.decoder_file import PREFIXES, is_handed_over
from shared.weights.transformers_names import in_own_names
from tests.support.catalogue import SAM_MEAN, SAM_STD, catalogue_model, write_catalogue, write_safetensors
from tests.support.reference import Click, Reference
from tests.support.small_sam import small_image_encoder
from tests.torch.conftest import randomise

ensure_torchvision_imports()
transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[sam2]'")

POINT = np.array([[300.0, 200.0]])


def their_model(**vision: Any) -> Any:
    """Return transformers' SAM with an image encoder of these sizes."""
    config = transformers.SamConfig(vision_config=transformers.SamVisionConfig(**vision))
    return transformers.SamModel(config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def theirs() -> Any:
    """Return transformers' SAM with random weights and an image encoder like `small_image_encoder`."""
    model = their_model(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, global_attn_indexes=[1])
    randomise(model, seed=4)
    return model


def arrays_of(model: Any) -> dict[str, NDArray[np.float32]]:
    """Return the tensors that transformers would save: one that has two names is saved once."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    del state["prompt_encoder.shared_embedding.positional_embedding"]
    return state


def test_every_tensor_of_vit_b_has_its_own_name_and_shape() -> None:
    with torch.device("meta"):
        state = their_model().state_dict()
    found = {name: tuple(tensor.shape) for name, tensor in in_own_names(state).items()}
    assert found == {name: tuple(tensor.shape) for name, tensor in empty_sam("vit_b").state_dict().items()}


def test_names_of_segment_anything_stay_as_they_are() -> None:
    names = dict.fromkeys(empty_sam("vit_b").state_dict())
    assert in_own_names(names) == names


def test_the_renamed_weights_give_transformers_embedding(theirs: Any) -> None:
    own = {name: tensor for name, tensor in in_own_names(theirs.state_dict()).items() if name.startswith("image_e")}
    encoder = small_image_encoder()
    encoder.load_state_dict({name.removeprefix("image_encoder."): tensor for name, tensor in own.items()})
    pixels = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(pixels), theirs.get_image_embeddings(pixels), atol=1e-4, rtol=1e-4)


def test_the_renamed_weights_give_transformers_masks(theirs: Any) -> None:
    embedding = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(6))
    reference = Reference(in_own_names(arrays_of(theirs)))
    reference.preset(embedding.numpy(), (1024, 1024))
    ours = reference.predict(Click(POINT, np.array([1])))
    answer = theirs(
        image_embeddings=embedding,
        input_points=torch.tensor(POINT, dtype=torch.float32)[None, None],
        input_labels=torch.ones(1, 1, 1, dtype=torch.int64),
        multimask_output=True,
    )
    np.testing.assert_allclose(answer.pred_masks[0, 0].numpy(), ours.logits, atol=1e-3)
    np.testing.assert_allclose(answer.iou_scores[0, 0].numpy(), ours.scores, atol=1e-4)


@pytest.fixture
def folder(theirs: Any, tmp_path: Path) -> Path:
    """Write the decoder in transformers' form, and return the folder."""
    (tmp_path / "form").mkdir()
    arrays = {name: array for name, array in arrays_of(theirs).items() if not name.startswith("vision_encoder.")}
    write_safetensors(tmp_path / "form" / "model.safetensors", arrays)
    (tmp_path / "form" / "config.json").write_text(json.dumps({"model_type": "sam"}))
    return tmp_path / "form"


def decoder_names() -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in empty_sam("vit_b").state_dict().items() if name.startswith(PREFIXES)}


def test_a_folder_in_transformers_form_is_read(folder: Path, theirs: Any) -> None:
    read = read_checkpoint(folder, "vit_b", decoder_names())
    wanted = in_own_names(theirs.state_dict())
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in read.items())


def test_the_api_reads_the_decoder_of_a_file_in_transformers_form(folder: Path, theirs: Any) -> None:
    (folder.parent / "e.onnx").write_bytes(b"not read")
    files = {"encoder": "e.onnx", "decoder": "form/model.safetensors"}
    entry = {"architecture": "onnx", **files, "side": 512, "mean": SAM_MEAN, "std": SAM_STD}
    model = catalogue_model("own", write_catalogue(folder.parent, own=entry))
    assert not is_handed_over(model)
    wanted = in_own_names(arrays_of(theirs))
    for name, array in read_entry(model).items():
        np.testing.assert_array_equal(array, wanted[name])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), r"is a folder: expected model\.safetensors in it"),
        (lambda folder: (folder / "config.json").unlink(), r"must have a config\.json of model_type 'sam', not 'None'"),
        (lambda folder: (folder / "config.json").write_text("[]"), r"must have a config\.json of model_type 'sam'"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "sam_hq"}'),
            r"must have a config\.json of model_type 'sam', not 'sam_hq'",
        ),
    ],
    ids=["no weights", "no config", "no table", "another model"],
)
def test_another_folder_is_refused(folder: Path, change: Any, says: str) -> None:
    change(folder)
    with pytest.raises(WeightsError, match=says):
        read_checkpoint(folder, "vit_b", decoder_names())
