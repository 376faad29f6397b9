"""Reads the weights of SAM 2.1 and EdgeTAM: Meta's checkpoints, and folders in transformers' form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoder_worker.backends.on_torch.tensor_file import read_state, without_prefix
from encoder_worker.backends.sam2.names import DECODER, POSITIONS, TRACKER, meta_names
from encoder_worker.backends.sam2.network import NETWORKS, Hiera, RepVit, configuration
from shared.contract.errors import WeightsError
from shared.weights.transformers_names import WEIGHTS_FILE

_META_SIGN = ("image_encoder.", "sam_mask_decoder.")
_TRANSFORMERS_SIGN = ("vision_encoder.", "mask_decoder.")
_META_ANCHOR = "sam_mask_decoder.iou_token.weight"
_TRANSFORMERS_ANCHOR = "mask_decoder.iou_token.weight"

_MATTERS = {
    "vision_config.backbone_config": (
        "blocks_per_stage",
        "embed_dim_per_stage",
        "num_attention_heads_per_stage",
        "window_size_per_stage",
        "global_attention_blocks",
        "window_positional_embedding_background_size",
        "layer_norm_eps",
    ),
    "vision_config": ("backbone_feature_sizes", "fpn_top_down_levels"),
    "prompt_encoder_config": ("image_size", "patch_size", "scale"),
    "mask_decoder_config": (
        "num_attention_heads",
        "attention_downsample_rate",
        "dynamic_multimask_via_stability",
        "dynamic_multimask_stability_delta",
        "dynamic_multimask_stability_thresh",
    ),
}
"""The values of transformers' configuration that change the masks. Most of them cannot be seen in the tensors."""


def read_weights(path: Path, network: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the network's state dict by transformers' names, on the CPU, of the dtypes of `expected`.

    The names in the file tell whether they are Meta's or transformers'. With transformers' names, a `config.json`
    beside the file must be that of the network. Tensors may be mapped from the file: copy what is kept.

    Args:
        path: a folder that transformers saved, a `.safetensors` file, or what `torch.save` wrote, such as Meta's
            `{"model": state_dict}`.
        network: the network that the file should have weights of, one of `NETWORKS`.
        expected: the state dict of that network by transformers' names; only shapes and dtypes matter.

    Raises:
        WeightsError: the file is damaged, holds more than tensors, belongs to another network, or has a number that is
            not finite.
    """
    if path.is_dir():
        path /= WEIGHTS_FILE
        if not path.is_file():
            raise WeightsError(f"{path.parent} is a folder: expected {path.name} in it")
    state = without_prefix(without_prefix(read_state(path), _META_ANCHOR), _TRANSFORMERS_ANCHOR)
    if all(any(name.startswith(sign) for name in state) for sign in _META_SIGN):
        sources = {name: meta_names(name) for name in expected}
    elif all(any(name.startswith(sign) for name in state) for sign in _TRANSFORMERS_SIGN):
        sources = {name: (_present(name, state),) for name in expected}
        _check_configuration(path.with_name("config.json"), network)
    else:
        raise WeightsError(
            f"{path} is no checkpoint of {network}: it has neither Meta's names (as {_META_SIGN[1]}*) nor those of "
            f"transformers (as {_TRANSFORMERS_SIGN[0]}*)"
        )
    _check_network(path, network, state)
    _check_surplus(path, network, state, {source for names in sources.values() for source in names})
    return {name: _tensor(path, network, state, sources[name], tensor) for name, tensor in expected.items()}


def decoder_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the part of a network that goes into the decoder file, by Meta's names.

    Args:
        state: the network by transformers' names, as `read_weights` gives it.
    """
    return dict(_decoder_part(state))


def _decoder_part(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.items():
        if name.startswith(DECODER):
            names = meta_names(name)
            yield from zip(names, tensor.chunk(len(names)), strict=True)


def _present(name: str, state: Mapping[str, Tensor]) -> str:
    """Return which name `name` has in a file with transformers' names. Some versions wrote `POSITIONS` only once."""
    if name in POSITIONS and name not in state:
        return next((copy for copy in POSITIONS if copy in state), name)
    return name


def _check_network(path: Path, network: str, state: Mapping[str, Tensor]) -> None:
    """Refuse weights of another network of `NETWORKS` by its name, which helps more than the first wrong shape."""
    actual = next((name for name, trunk in NETWORKS.items() if _has_trunk(state, trunk)), None)
    if actual is not None and actual != network:
        raise WeightsError(
            f"{path} is a checkpoint of {actual}, not of {network}: set SAM_MODEL={actual} (in a catalogue: "
            f"architecture = {actual!r}) or change the file"
        )


def _has_trunk(state: Mapping[str, Tensor], trunk: Hiera | RepVit) -> bool:
    for prefix, patches in (("image_encoder.trunk.", "proj"), ("vision_encoder.backbone.", "projection")):
        if isinstance(trunk, RepVit):
            body = f"{prefix}{'body' if patches == 'proj' else 'timm_model'}."
            if any(name.startswith(body) for name in state):
                return True
            continue
        weight = state.get(f"{prefix}patch_embed.{patches}.weight")
        last = sum(trunk.blocks) - 1
        if (
            weight is not None
            and weight.shape[:1] == (trunk.width,)
            and f"{prefix}blocks.{last}.attn.qkv.weight" in state
            and f"{prefix}blocks.{last + 1}.attn.qkv.weight" not in state
        ):
            return True
    return False


def _check_surplus(path: Path, network: str, state: Mapping[str, Tensor], used: set[str]) -> None:
    for name in state:
        if name not in used and name not in POSITIONS and not name.startswith(TRACKER):
            raise WeightsError(f"{path} is no checkpoint of {network}: {name} is no part of it")
    first, second = (state.get(name) for name in POSITIONS)
    if first is not None and second is not None and not torch.equal(first, second):
        raise WeightsError(f"{path} is no checkpoint of {network}: {POSITIONS[0]} and {POSITIONS[1]} must be equal")


def _tensor(
    path: Path, network: str, state: Mapping[str, Tensor], sources: tuple[str, ...], expected: Tensor
) -> Tensor:
    shape = tuple(expected.shape) if len(sources) == 1 else (len(expected) // len(sources), *expected.shape[1:])
    for name in sources:
        if name not in state:
            raise WeightsError(f"{path} is no checkpoint of {network}: {name} of shape {shape} is missing")
        tensor = state[name]
        if tuple(tensor.shape) != shape:
            raise WeightsError(
                f"{path} is no checkpoint of {network}: {name} has shape {tuple(tensor.shape)}, not {shape}"
            )
        if tensor.is_floating_point() != expected.is_floating_point():
            raise WeightsError(
                f"{path} is no checkpoint of {network}: {name} is {tensor.dtype}, where {expected.dtype} was expected"
            )
        if not bool(tensor.isfinite().all()):
            raise WeightsError(f"{path} is damaged: {name} has numbers that are not finite")
    return (state[sources[0]] if len(sources) == 1 else torch.cat([state[name] for name in sources])).to(expected.dtype)


def _check_configuration(path: Path, network: str) -> None:
    """Refuse a `config.json` of a network that computes something else from tensors of the same shapes."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    config = configuration(NETWORKS[network])
    for section, fields in _MATTERS.items():
        own, theirs = config, found
        for part in section.split("."):
            own, theirs = getattr(own, part), theirs.get(part) if isinstance(theirs, dict) else None
        for field in fields:
            # What the file leaves out is the default of transformers' class.
            default = getattr(type(own)(), field, None)
            value = theirs.get(field, default) if isinstance(theirs, dict) else default
            wanted = getattr(own, field, None)
            if _plain(value) != _plain(wanted):
                raise WeightsError(f"{path} is not of {network}: {section}.{field} is {value}, not {wanted}")


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
