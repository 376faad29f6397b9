"""Records what Meta's own code computes, so that the tests can compare with it where it is not installed.

    python -m tests.torch.record_sam2 small     # with PyPI's sam2 1.1.0
    python -m tests.torch.record_sam2 edgetam   # with the `sam2` package of the EdgeTAM repository, and timm

writes tests/torch/recorded/<network>.npz: 2000 numbers of each tensor of `SAM2ImagePredictor.set_image` for a photo
and the weights of `random_weights`. `python -m tests.torch.record_sam2 names` prints the digests of names and shapes.
Besides numpy and torch, sam2 needs torchvision, hydra-core, omegaconf, iopath, tqdm and scikit-image.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from encoder_worker.backends.sam2.names import TRACKER
from tests.support.small_sam2 import SMALL, SMALL_TRUNK, digest, random_weights

ensure_torchvision_imports()

import torch  # noqa: E402
from sam2.build_sam import build_sam2  # noqa: E402
from sam2.sam2_image_predictor import SAM2ImagePredictor  # noqa: E402

RECORDED = Path(__file__).parent / "recorded"
CONFIGURATIONS = {
    "sam2.1_tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1_small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1_base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1_large": "configs/sam2.1/sam2.1_hiera_l.yaml",
    "edgetam": "configs/edgetam.yaml",
    SMALL: "configs/sam2.1/sam2.1_hiera_t.yaml",
}


def build(network: str) -> Any:
    changes = []
    if network == SMALL:
        trunk, widths = "++model.image_encoder.trunk", [SMALL_TRUNK.width << stage for stage in range(4)]
        changes = [
            f"{trunk}.embed_dim={SMALL_TRUNK.width}",
            f"{trunk}.num_heads={SMALL_TRUNK.heads}",
            f"{trunk}.stages={list(SMALL_TRUNK.blocks)}",
            f"{trunk}.global_att_blocks={list(SMALL_TRUNK.global_blocks)}",
            f"++model.image_encoder.neck.backbone_channel_list={widths[::-1]}",
        ]
    if network == "edgetam":  # it would fetch the weights of its trunk, which are overwritten anyway
        import sam2.modeling.backbones.timm as trunk_module

        create = trunk_module.create_model
        trunk_module.create_model = lambda *names, **options: create(*names, **{**options, "pretrained": False})
    return build_sam2(CONFIGURATIONS[network], device="cpu", hydra_overrides_extra=changes)


def image_part(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(TRACKER)}


def main() -> None:
    network = sys.argv[1]
    if network == "names":
        for name in CONFIGURATIONS:
            if name != "edgetam":
                shapes = {key: tuple(value.shape) for key, value in image_part(build(name)).items()}
                print(f'    "{name}": "{digest(shapes)}",')  # noqa: T201
        return
    model = build(network)
    shapes = {name: tuple(tensor.shape) for name, tensor in image_part(model).items()}
    weights = {name: torch.from_numpy(np.asarray(array)) for name, array in random_weights(shapes).items()}
    left = model.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys
    assert all(name.startswith(TRACKER) for name in left.missing_keys)
    predictor = SAM2ImagePredictor(model)
    predictor.set_image(skimage.data.coffee())
    features = predictor._features
    tensors = {
        "embedding": features["image_embed"],
        "high_res_s1": features["high_res_feats"][1],
        "high_res_s0": features["high_res_feats"][0],
    }
    rng = np.random.default_rng(0)
    record: dict[str, Any] = {"names": digest(shapes)}
    for name, tensor in tensors.items():
        flat = tensor.detach().numpy().reshape(-1)
        record[f"{name}_at"] = places = rng.choice(flat.size, 2000, replace=False).astype(np.int32)
        record[name] = flat[places]
        print(name, tuple(tensor.shape), float(flat.std()), float(np.abs(flat).max()))  # noqa: T201
    np.savez_compressed(RECORDED / f"{network}.npz", **record)


if __name__ == "__main__":
    main()
