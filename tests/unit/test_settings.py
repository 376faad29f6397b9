"""Settings: defaults, and the values that the environment may and may not give."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings, settings_table


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_env({"SAM_PORT": "", "SAM_MODEL": ""}) == Settings()


@pytest.mark.parametrize("spec", fields(Settings), ids=lambda spec: spec.name)
def test_each_default_passes_its_own_check_and_is_explained(spec) -> None:  # type: ignore[no-untyped-def]
    assert Settings.from_env({f"SAM_{spec.name.upper()}": str(spec.default)}) == Settings()
    assert spec.metadata["doc"]


def test_values_are_read_in_their_own_type() -> None:
    settings = Settings.from_env({"SAM_PORT": "0", "SAM_REDIS_TIMEOUT": "1.5", "SAM_EMBEDDING_DTYPE": "int8"})
    assert (settings.port, settings.redis_timeout, settings.embedding_dtype) == (0, 1.5, "int8")


def test_other_variables_are_ignored() -> None:
    assert Settings.from_env({"PATH": "/bin", "SAMBA": "1", "sam_port": "x"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("SAM_PROT", "8000", "no such setting"),
        ("SAM_PORT", "http", "not a int"),
        ("SAM_PORT", "-1", "between 0 and 65535"),
        ("SAM_PORT", "65536", "between 0 and 65535"),
        ("SAM_PORT", "9" * 400, "between 0 and 65535"),
        ("SAM_API_THREADS", "1", "at least 2"),
        ("SAM_MAX_UPLOAD_BYTES", "1e6", "not a int"),
        ("SAM_REDIS_TIMEOUT", "nan", "at least 0.01"),
        ("SAM_REDIS_TIMEOUT", "inf", "at least 0.01"),
        ("SAM_EMBEDDING_DTYPE", "float64", "one of auto, float16, int16, float32, int8"),
        ("SAM_LOG_LEVEL", "loud", "one of DEBUG"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refusal:
        Settings.from_env({variable: text})
    assert variable in refusal.value.detail


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_the_queue_is_the_cache_unless_it_is_named() -> None:
    assert Settings(cache_url="redis://a").effective_queue_url == "redis://a"
    assert Settings(cache_url="redis://a", queue_url="redis://b").effective_queue_url == "redis://b"


def test_the_default_model_is_served_first_and_once() -> None:
    assert Settings(model="a").served_models == ("a",)
    assert Settings(model="a", models=" b, a ,,c").served_models == ("a", "b", "c")


def test_the_weights_folder_may_start_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert Settings(weights_dir="~/w").weights_folder == Path("/home/someone/w")


def test_the_table_has_a_row_for_each_setting() -> None:
    assert len(settings_table().splitlines()) == 2 + len(fields(Settings))
