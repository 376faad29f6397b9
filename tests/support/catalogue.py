"""Catalogues, and weights for their entries, as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.weights.catalogue import known_models

SAM_MEAN, SAM_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def write_catalogue(folder: Path, **models: Mapping[str, Any]) -> Path:
    """Write `catalogue.toml` with a table for each model, whose values JSON can write as TOML does. Return its path."""
    tables = [
        "\n".join([f"[models.{json.dumps(name)}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())])
        for name, table in models.items()
    ]
    path = folder / "catalogue.toml"
    path.write_text("\n\n".join(tables) + "\n")
    return path


def catalogue_model(name: str, catalogue: Path) -> Model:
    """Return a model of the catalogue, as wiring finds it."""
    return known_models(Settings(catalogue=str(catalogue)))[name]


def write_safetensors(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write arrays as the safetensors package does. Return the path."""
    kinds = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts, start = [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
        about = {"dtype": kinds[array.dtype.name], "shape": list(array.shape)}
        header[name] = {**about, "data_offsets": [start, start + len(data)]}
        parts.append(data)
        start += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
    return path
