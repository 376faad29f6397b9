"""The catalogue: a TOML file that adds models by name. API and workers read it, and both with this module.

It describes each model in a table `[models.NAME]`; docs/models.md shows one. Reading it checks every key, and that the
files are there. The content of files is checked when a process loads the model, see `shared.weights.entry_files`.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared.contract.errors import ConfigurationError
from shared.contract.keys import is_digest
from shared.contract.models import (
    REGISTRY,
    SAM1,
    CatalogueEntry,
    Checkpoint,
    Model,
    PixelStatistics,
    WeightsFile,
)
from shared.contract.settings import Settings

PICKLES = (".pth", ".pt")
"""Endings of files that only torch reads."""

SAFETENSORS = ".safetensors"

ONNX = "onnx"
"""The architecture of an entry that brings an image encoder and a mask decoder of its own; also a file's ending."""

UNKNOWN_LICENCE = "NOASSERTION"
"""What SPDX calls a licence that nobody states."""

_NAME = re.compile(r"(?=.*[a-z0-9])[a-z0-9._-]{1,64}")
_PIXELS = ("plain", "minmax")
_LARGEST_FILE = 1 << 20
_SMALLEST_SIDE, _LARGEST_SIDE = 64, 4096
_LONGEST_TEXT = 200

_COMMON = ("architecture", "pixels", "title", "licence", "sha256")
_KEYS = {ONNX: (*_COMMON, "encoder", "decoder", "side", "mean", "std")}
_KEYS_WITH_WEIGHTS = (*_COMMON, "weights")


def known_models(settings: Settings) -> Mapping[str, Model]:
    """Return the models that `SAM_MODEL` and `SAM_MODELS` may name: the built-in ones and the catalogue's.

    The files of a model of the catalogue have no digests yet, see `shared.weights.entry_files.identified`.

    Raises:
        ConfigurationError: the catalogue cannot be read, or an entry is wrong. The sentence names the entry, the key
            and what was expected.
    """
    if not settings.catalogue:
        return REGISTRY
    added = read_catalogue(Path(settings.catalogue).expanduser())
    if settings.weights_path and settings.model in added:
        raise ConfigurationError(
            f"SAM_WEIGHTS_PATH must be unset: the catalogue names the weights of SAM_MODEL={settings.model}"
        )
    return MappingProxyType({**REGISTRY, **added})


def read_catalogue(path: Path) -> dict[str, Model]:
    """Return the models of the catalogue at `path`, by name. Their files have no digests yet.

    Raises:
        ConfigurationError: see `known_models`.
    """
    document = _document(path)
    unknown = [key for key in document if key != "models"]
    if unknown:
        raise ConfigurationError(
            f"SAM_CATALOGUE={path}: unknown key {unknown[0]!r}; every model is a table [models.NAME]"
        )
    models = document.get("models", {})
    if not isinstance(models, dict):
        raise ConfigurationError(f"SAM_CATALOGUE={path}: models is no table; every model is a table [models.NAME]")
    return {name: _Entry.of(path, name, table).model() for name, table in models.items()}


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ConfigurationError(f"SAM_CATALOGUE={path} is larger than 1 MiB, so it is no catalogue")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigurationError(f"SAM_CATALOGUE={path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # of the TOML, which also finds a table that is there twice
        raise ConfigurationError(f"SAM_CATALOGUE={path} is not valid TOML: {error}") from None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One table of the catalogue while it is read.

    Attributes:
        place: the entry in words.
        folder: paths are relative to it.
        architecture: a built-in model's name, or "onnx".
    """

    place: str
    folder: Path
    name: str
    architecture: str
    table: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path, name: str, table: object) -> _Entry:
        place = f"SAM_CATALOGUE={path}: models.{name}"
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"SAM_CATALOGUE={path}: models.{name!r} is no name: expected 1 to 64 of a-z 0-9 . _ -, at least one of "
                "them a letter or a digit"
            )
        if name in REGISTRY:
            raise ConfigurationError(f"{place}: this is the name of a built-in model: expected another one")
        if not isinstance(table, dict):
            raise ConfigurationError(f"{place} is no table: expected [models.{name}]")
        architecture = table.get("architecture")
        known = [ONNX, *(model.name for model in REGISTRY.values() if model.runtime != "numpy")]
        if architecture not in known:
            raise ConfigurationError(
                f"{place}, architecture: expected one of {', '.join(known)}, not {_shown(architecture)}"
            )
        allowed = _KEYS.get(architecture, _KEYS_WITH_WEIGHTS)
        unknown = [key for key in table if key not in allowed]
        if unknown:
            raise ConfigurationError(
                f"{place}: unknown key {unknown[0]!r}; with architecture = {architecture!r}, expected only "
                f"{', '.join(allowed)}"
            )
        return cls(place, path.parent, name, architecture, table)

    def model(self) -> Model:
        base = self._own_files() if self.architecture == ONNX else self._as_built_in(REGISTRY[self.architecture])
        pixels = self.table.get("pixels", "plain")
        if pixels not in _PIXELS:
            raise self._wrong("pixels", f"{' or '.join(map(repr, _PIXELS))}, not {_shown(pixels)}")
        return replace(
            base,
            name=self.name,
            title=self._text("title", f"{base.title}, weights of the catalogue"),
            licence=self._text("licence", UNKNOWN_LICENCE),
            npm_package=None,
            npm_sha256=None,
            npm_size=None,
            stretch=pixels == "minmax",
        )

    def _as_built_in(self, base: Model) -> Model:
        """Return the built-in model with the entry's weights: one checkpoint, or a folder of the model's own files."""
        weights = self._path("weights")
        if base.checkpoint is not None:
            if not weights.is_dir():
                self._require_ending("weights", weights, (*PICKLES, SAFETENSORS))
            sha256 = self._sha256(weights)
            entry = CatalogueEntry(self.place, weights=weights, sha256=sha256)
            size = 0 if weights.is_dir() else weights.stat().st_size
            return replace(
                base, checkpoint=Checkpoint(weights.name, "", size, "", base.checkpoint.network), entry=entry
            )
        assert base.encoder is not None
        assert base.decoder is not None
        names = (base.encoder.name, base.decoder.name)
        paths = [weights / name for name in names]
        if not all(path.is_file() for path in paths):
            raise self._wrong("weights", f"a folder with {names[0]} and {names[1]}, not {weights}")
        encoder, decoder = (_unidentified(path) for path in paths)
        entry = CatalogueEntry(self.place, encoder=paths[0], decoder=paths[1], sha256=self._sha256(weights))
        return replace(base, encoder=encoder, decoder=decoder, entry=entry)

    def _own_files(self) -> Model:
        encoder, decoder = self._path("encoder"), self._path("decoder")
        self._require_ending("encoder", encoder, (f".{ONNX}",))
        self._require_ending("decoder", decoder, (f".{ONNX}", *PICKLES, SAFETENSORS))
        side = self.table.get("side")
        if type(side) is not int or not _SMALLEST_SIDE <= side <= _LARGEST_SIDE:
            bounds = f"a whole number of pixels from {_SMALLEST_SIDE} to {_LARGEST_SIDE}"
            raise self._wrong("side", f"{bounds}, the side of the encoder's input, not {_shown(side)}")
        mean, std = self._numbers("mean"), self._numbers("std")
        if min(std) <= 0:
            raise self._wrong("std", f"three numbers above 0, not {list(std)}")
        return Model(
            name=self.name,
            title="Segment Anything",
            npm_package=None,
            npm_sha256=None,
            encoder=_unidentified(encoder),
            decoder=_unidentified(decoder),
            architecture=SAM1,
            pixels=PixelStatistics(mean, std),
            encoder_side=side,
            entry=CatalogueEntry(self.place, encoder=encoder, decoder=decoder, sha256=self._sha256(encoder)),
        )

    def _path(self, key: str) -> Path:
        value = self.table.get(key)
        if not isinstance(value, str) or not value:
            raise self._wrong(key, f"a path relative to the catalogue, not {_shown(value)}")
        path = self.folder / Path(value).expanduser()
        try:
            found = path.exists()
        except (OSError, ValueError) as error:
            raise self._wrong(key, f"a path that can be read, not {path}: {error}") from None
        if not found:
            raise self._wrong(key, f"an existing path, and {path} is missing")
        return path

    def _require_ending(self, key: str, path: Path, endings: tuple[str, ...]) -> None:
        if not path.is_file() or path.suffix not in endings:
            raise self._wrong(key, f"a file that ends in {' or '.join(endings)}, not {path}")

    def _sha256(self, path: Path) -> str | None:
        value = self.table.get("sha256")
        if value is None:
            return None
        if not isinstance(value, str) or not is_digest(value):
            raise self._wrong("sha256", f"64 digits of lower-case hex, not {_shown(value)}")
        if path.is_dir():
            raise self._wrong("sha256", f"no digest, because {path} is a folder")
        return value

    def _text(self, key: str, default: str) -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
            raise self._wrong(key, f"1 to {_LONGEST_TEXT} printable characters, not {_shown(value)}")
        return value

    def _numbers(self, key: str) -> tuple[float, float, float]:
        match list(_finite(self.table.get(key))):
            case [red, green, blue]:
                return red, green, blue
        raise self._wrong(
            key, f"three numbers for R, G and B, on the scale of 0 to 255, not {_shown(self.table.get(key))}"
        )

    def _wrong(self, key: str, expected: str) -> ConfigurationError:
        return ConfigurationError(f"{self.place}, {key}: expected {expected}")


def _unidentified(path: Path) -> WeightsFile:
    return WeightsFile(name=path.name, member="", size=path.stat().st_size, sha256="")


def _finite(value: object) -> Iterator[float]:
    for number in value if isinstance(value, list) else ():
        if type(number) in (int, float) and math.isfinite(number):
            yield float(number)


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)[:_LONGEST_TEXT]
