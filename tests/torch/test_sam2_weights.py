"""Weights of SAM 2.1 and EdgeTAM land where they belong, from Meta's checkpoints and from transformers' folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from encoder_worker.backends.sam2.names import POSITIONS, TRACKER, meta_names
from encoder_worker.backends.sam2.network import NETWORKS, configuration, empty_model
from encoder_worker.backends.sam2.on_torch import export_decoder
from encoder_worker.backends.sam2.weights import decoder_part, read_weights
from shared.contract.errors import WeightsError
from shared.contract.models import SAM2_1_TINY, find_model
from shared.contract.settings import Settings
from shared.weights.decoder_file import decoder_path, read_decoder
from tests.support.sam2_names import META_NAMES
from tests.support.small_sam2 import (
    SMALL,
    by_transformers_names,
    digest,
    is_of_the_decoder,
    meta_shapes,
    random_weights,
)

State = dict[str, Any]


@pytest.fixture(scope="module")
def weights(small_sam2: None) -> dict[str, NDArray[Any]]:
    """Return random weights of the small network by Meta's names."""
    return random_weights(meta_shapes(SMALL))


@pytest.fixture(scope="module")
def expected(small_sam2: None) -> dict[str, torch.Tensor]:
    """Return the names and shapes of the small network's weights in transformers."""
    return dict(empty_model(SMALL).state_dict())


def tensors(weights: dict[str, NDArray[Any]]) -> State:
    return {name: torch.from_numpy(array) for name, array in weights.items()}


def meta_file(folder: Path, state: State) -> Path:
    torch.save({"model": state}, folder / "meta.pt")
    return folder / "meta.pt"


def transformers_folder(folder: Path, weights: dict[str, NDArray[Any]]) -> Path:
    state = {name: torch.from_numpy(array.copy()) for name, array in by_transformers_names(SMALL, weights).items()}
    save_file(state, folder / "model.safetensors")
    configuration(NETWORKS[SMALL]).to_json_file(folder / "config.json")
    return folder / "model.safetensors"


@pytest.mark.parametrize("network", META_NAMES)
def test_the_names_and_shapes_are_those_of_metas_own_code(network: str, small_sam2: None) -> None:
    assert digest(meta_shapes(network)) == META_NAMES[network]


@pytest.mark.parametrize("network", META_NAMES)
def test_no_two_tensors_have_one_name(network: str, small_sam2: None) -> None:
    names = [name for key in empty_model(network).state_dict() if key != POSITIONS[1] for name in meta_names(key)]
    assert len(names) == len(set(names)) > 200


def test_both_forms_of_the_same_weights_are_read_as_the_same(
    weights: dict[str, NDArray[Any]], expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    from_meta = read_weights(meta_file(tmp_path, tensors(weights)), SMALL, expected)
    from_folder = read_weights(transformers_folder(tmp_path, weights), SMALL, expected)
    assert from_meta.keys() == from_folder.keys() == expected.keys()
    for name, tensor in from_meta.items():
        assert torch.equal(tensor, from_folder[name]), name
    decoder = decoder_part(from_folder)
    assert decoder.keys() == {name for name in weights if is_of_the_decoder(name)}
    assert all(np.array_equal(decoder[name].numpy(), weights[name]) for name in decoder)


def test_a_state_dict_alone_and_half_precision_are_read_too(
    weights: dict[str, NDArray[Any]], expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({name: tensor.bfloat16() for name, tensor in tensors(weights).items()}, tmp_path / "half.pth")
    state = read_weights(tmp_path / "half.pth", SMALL, expected)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert torch.equal(state[POSITIONS[0]], torch.from_numpy(weights[meta_names(POSITIONS[0])[0]]).bfloat16().float())


def test_what_only_videos_need_is_left_out(
    weights: dict[str, NDArray[Any]], expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    tracker = {f"{name}.weight": torch.zeros(3) for name in TRACKER}
    path = meta_file(tmp_path, tensors(weights) | tracker)
    assert read_weights(path, SMALL, expected).keys() == expected.keys()


@pytest.mark.parametrize("kept", POSITIONS)
def test_a_folder_may_have_the_positions_once(
    kept: str, weights: dict[str, NDArray[Any]], expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    state = {
        name: torch.from_numpy(array.copy())
        for name, array in by_transformers_names(SMALL, weights).items()
        if name == kept or name not in POSITIONS
    }
    save_file(state, tmp_path / "model.safetensors")
    read = read_weights(tmp_path / "model.safetensors", SMALL, expected)
    assert torch.equal(read[POSITIONS[0]], read[POSITIONS[1]])


QKV = "image_encoder.trunk.blocks.0.attn.qkv.weight"
POINT = "sam_prompt_encoder.point_embeddings.2.weight"
IOU = "sam_mask_decoder.iou_token.weight"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop(QKV), rf"is no checkpoint of small: {QKV} of shape \(48, 16\) is missing$"),
        (lambda state: state.pop(POINT), rf"{POINT} of shape \(1, 256\) is missing$"),
        (lambda state: state.update({POINT: torch.zeros(2, 256)}), rf"{POINT} has shape \(2, 256\), not \(1, 256\)$"),
        (lambda state: state.update({"head.weight": torch.zeros(2)}), "head.weight is no part of it$"),
        (lambda state: state[IOU].view(-1)[7:8].fill_(float("nan")), f"{IOU} has numbers that are not finite$"),
        (lambda state: state.update({IOU: torch.zeros(1, 256, dtype=torch.int8)}), f"{IOU} is torch.int8, where"),
        (lambda state: state.update(epoch=7), "must be a state_dict of tensors, alone"),
        (lambda state: [state.pop(name) for name in list(state) if name.startswith("image_")], "it has neither Meta's"),
    ],
    ids=["missing", "missing label", "shape", "surplus", "nan", "integers", "not a tensor", "only the decoder"],
)
def test_other_weights_are_refused_in_one_sentence(
    change: Callable[[State], object],
    says: str,
    weights: dict[str, NDArray[Any]],
    expected: dict[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    state = {name: tensor.clone() for name, tensor in tensors(weights).items()}
    change(state)
    with pytest.raises(WeightsError, match=says):
        read_weights(meta_file(tmp_path, state), SMALL, expected)


def test_a_checkpoint_of_another_network_is_named(
    weights: dict[str, NDArray[Any]], expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = meta_file(tmp_path, tensors(weights))
    with pytest.raises(WeightsError, match=r"is a checkpoint of small, not of sam2\.1_tiny: set SAM_MODEL=small "):
        read_weights(path, "sam2.1_tiny", expected)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("backbone_config", "global_attention_blocks", [3]),
        ("mask_decoder_config", "dynamic_multimask_stability_thresh", 0.5),
    ],
)
def test_a_configuration_that_computes_something_else_is_refused(
    section: str, field: str, value: Any, weights: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    expected = empty_model(SMALL).state_dict()
    path = transformers_folder(tmp_path, weights)
    config = json.loads((tmp_path / "config.json").read_text())
    part = config["vision_config"][section] if section == "backbone_config" else config[section]
    part[field] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=rf"config.json is not of small: .*{field} is"):
        read_weights(path, SMALL, expected)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json cannot be read"):
        read_weights(path, SMALL, expected)


def test_two_unlike_copies_of_the_positions_are_refused(
    weights: dict[str, NDArray[Any]], expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    state = {name: torch.from_numpy(array.copy()) for name, array in by_transformers_names(SMALL, weights).items()}
    state[POSITIONS[0]] += 1
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="must be equal"):
        read_weights(tmp_path / "model.safetensors", SMALL, expected)


def test_a_damaged_safetensors_file_is_refused(
    weights: dict[str, NDArray[Any]], expected: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = transformers_folder(tmp_path, weights)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="is damaged"):
        read_weights(path, SMALL, expected)


@pytest.mark.parametrize("form", ["meta", "transformers"])
def test_the_decoder_file_has_metas_names_and_the_digest_of_the_file(
    form: str, weights: dict[str, NDArray[Any]], small_sam2_model: Any, tmp_path: Path
) -> None:
    path = meta_file(tmp_path, tensors(weights)) if form == "meta" else transformers_folder(tmp_path, weights)
    given = path if form == "meta" else path.parent
    settings = Settings(model=SAM2_1_TINY.name, weights_path=str(given), weights_dir=str(tmp_path / "cache"))
    model = export_decoder(small_sam2_model, settings)
    assert model.checkpoint is not None
    assert model.checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    read = read_decoder(decoder_path(model, settings), find_model(SAM2_1_TINY.name))
    assert read.arrays.keys() == {name for name in weights if is_of_the_decoder(name)}
    assert all(np.array_equal(read.arrays[name], weights[name]) for name in read.arrays)
