"""Settings with which a start is refused, and the origins and rates that are allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prompt_api.access.cors import allowed, parse_origins, preflight
from prompt_api.access.policy import is_loopback, label_studio_namespace, require_safe
from prompt_api.access.scopes import Quota, Scope, needed_scope, spent_quota
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings

TOKENS = "alice:read:" + "a" * 64


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_on_loopback_no_token_is_needed(host: str) -> None:
    assert is_loopback(host)
    require_safe(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "2001:db8::7", "sam.example", "localhost.example"])
def test_elsewhere_a_start_without_a_token_is_refused_and_says_what_to_do(host: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        require_safe(Settings(host=host))
    for words in (f"SAM_HOST={host}", "prompt_api.access.new_token", "SAM_TOKENS", "127.0.0.1", "SAM_ALLOW_ANONYMOUS"):
        assert words in refusal.value.detail


def test_a_token_or_the_setting_for_anonymous_access_allows_it() -> None:
    require_safe(Settings(host="0.0.0.0", tokens=TOKENS))
    require_safe(Settings(host="0.0.0.0", allow_anonymous="true"))
    with pytest.raises(ConfigurationError):
        require_safe(Settings(host="0.0.0.0", tokens=" , "))


@pytest.mark.parametrize(
    "setting",
    [
        {"tokens": "alice"},
        {"cors_origins": "*"},
        {"cors_origins": "null"},
        {"cors_origins": "tool.example"},
        {"cors_origins": "https://tool.example/"},
        {"cors_origins": "https://tool.example/page"},
        {"cors_origins": "https://user@tool.example"},
        {"cors_origins": "https://Tool.example"},
        {"cors_origins": "https://*.example"},
        {"cors_origins": "https://tool.example:port"},
        {"cors_origins": "ftp://tool.example"},
        {"rate_limit_prompts": "50"},
        {"rate_limit_prompts": "0/second"},
        {"rate_limit_prompts": "-1/second"},
        {"rate_limit_uploads": "50/fortnight"},
        {"rate_limit_uploads": "5/second;9/minute"},
        {"rate_limit_uploads": "many/minute"},
    ],
    ids=str,
)
def test_a_malformed_setting_is_refused_before_anything_is_loaded(setting: dict[str, str]) -> None:
    (name,) = setting
    with pytest.raises(ConfigurationError, match=f"SAM_{name.upper()}"):
        require_safe(Settings(**setting))


TWO = f"{TOKENS},bob:read:" + "b" * 64


@pytest.mark.parametrize(
    ("tokens", "named", "namespace"),
    [("", "", None), ("", "alice", None), (TOKENS, "", None), (TOKENS, "alice", "alice"), (TWO, "bob", "bob")],
)
def test_one_namespace_has_the_images_of_label_studio(tokens: str, named: str, namespace: str | None) -> None:
    settings = Settings(label_studio_url="https://labels.example", label_studio_namespace=named, tokens=tokens)
    require_safe(settings)
    assert label_studio_namespace(settings) == namespace


@pytest.mark.parametrize(("tokens", "named"), [(TWO, ""), (TWO, "carol"), (TOKENS, "bob")])
def test_a_start_is_refused_while_it_is_open_which_namespace_that_is(tokens: str, named: str) -> None:
    settings = Settings(label_studio_namespace=named, tokens=tokens)
    require_safe(settings)
    with pytest.raises(ConfigurationError, match="SAM_LABEL_STUDIO_NAMESPACE") as refusal:
        require_safe(replace(settings, label_studio_url="https://labels.example"))
    assert "(alice" in refusal.value.detail


def test_origins_are_taken_as_browsers_write_them() -> None:
    origins = parse_origins("https://tool.example, http://localhost:5173,http://[::1]:8080,")
    assert origins == {"https://tool.example", "http://localhost:5173", "http://[::1]:8080"}


def test_without_a_list_no_page_of_another_origin_hears_anything() -> None:
    assert allowed("https://tool.example", frozenset()) == preflight("https://tool.example", frozenset()) == {}
    assert preflight(None, frozenset({"https://tool.example"})) == {}


@pytest.mark.parametrize(
    ("method", "route", "scope"),
    [
        ("GET", "/", None),
        ("GET", "/static/<path:filename>", None),
        ("GET", "/healthz", None),
        ("OPTIONS", "/v1/images", None),
        ("GET", "/v1/models", Scope.READ),
        ("HEAD", "/v1/images/<image_id>", Scope.READ),
        ("POST", "/v1/images/{image_id}/masks", Scope.READ),
        ("POST", "/v1/images", Scope.WRITE),
        ("DELETE", "/v1/images/<image_id>", Scope.WRITE),
        ("GET", "/metrics", Scope.READ),
        ("POST", "/a/route/of/tomorrow", Scope.WRITE),
    ],
)
def test_a_route_needs_a_token_unless_it_is_known_to_be_open(method: str, route: str, scope: Scope | None) -> None:
    assert needed_scope(method, route) == scope


def test_prompts_and_uploads_are_counted() -> None:
    assert spent_quota("POST", "/v1/images") is Quota.UPLOADS
    assert spent_quota("POST", "/v1/images/{image_id}/masks") is Quota.PROMPTS
    assert spent_quota("POST", "/v1/images/{image_id}/similar") is Quota.PROMPTS
    assert spent_quota("GET", "/v1/images/{image_id}") is None
    assert spent_quota("POST", "/v1/elsewhere") is None
