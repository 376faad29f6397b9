"""Which pages may use the service through a browser."""

from __future__ import annotations

import pytest

from prompt_api.access.pages import PageRules, allowed_hosts
from prompt_api.access.policy import page_rules
from shared.contract.errors import ConfigurationError, ForeignOrigin, UnknownHost
from shared.contract.settings import Settings

TOOL = "https://tool.example"


def ask(rules: PageRules, *, method: str = "POST", path: str = "/v1/images", **sent: str | None) -> None:
    rules.require(
        method=method,
        path=path,
        host=sent.get("host", "localhost:8000"),
        origin=sent.get("origin"),
        fetch_site=sent.get("fetch_site"),
    )


@pytest.fixture
def rules() -> PageRules:
    return page_rules(Settings(cors_origins=TOOL, allowed_hosts="sam.example"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "10.0.0.7",
        "host.docker.internal:8000",
        "sam.example",
        "sam.example:443",
        "sam.example.",
        "",
        None,
    ],
)
def test_known_names_and_addresses_are_answered(rules: PageRules, host: str | None) -> None:
    ask(rules, method="GET", host=host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "xlocalhost",
        "a, b",
        "[",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_names_are_not(rules: PageRules, host: str, method: str) -> None:
    with pytest.raises(UnknownHost):
        ask(rules, method=method, host=host)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_under_any_name(rules: PageRules, path: str) -> None:
    ask(rules, method="GET", path=path, host="replica-7.pods.example")


def test_off_loopback_names_are_checked_only_if_they_are_set() -> None:
    ask(page_rules(Settings(host="0.0.0.0")), host="any.example")
    with pytest.raises(UnknownHost):
        ask(page_rules(Settings(host="0.0.0.0", allowed_hosts="sam.example")), host="any.example")
    ask(page_rules(Settings(host="0.0.0.0", allowed_hosts="sam.example")), host="sam.example")


@pytest.mark.parametrize("entry", ["https://sam.example", "sam.example:8000", "*", "*.example", "a b", "sam/x"])
def test_an_entry_that_is_no_name_stops_the_start(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="SAM_ALLOWED_HOSTS"):
        allowed_hosts(entry, "127.0.0.1", loopback=True)


@pytest.mark.parametrize(
    "sent",
    [
        {},  # curl, Label Studio, the clients
        {"origin": TOOL},
        {"origin": TOOL, "fetch_site": "cross-site"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://localhost:8000", "fetch_site": "same-origin"},
        {"origin": "https://sam.example", "host": "sam.example"},  # TLS ends before the service
        {"origin": "http://sam.example", "host": "sam.example:80"},
        {"origin": "https://sam.example", "host": "10.0.0.7", "fetch_site": "same-origin"},  # a proxy changed the host
        {"fetch_site": "none"},
    ],
    ids=str,
)
def test_programs_own_pages_and_listed_pages_may_write(rules: PageRules, sent: dict[str, str]) -> None:
    ask(rules, **sent)


@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "file://"},
        {"origin": "https://[evil"},
        {"origin": "http://localhost:5173"},
        {"origin": "http://localhost:8000.evil.example"},
        {"origin": "http://localhost:5173", "fetch_site": "same-site"},
        {"origin": "https://evil.example", "fetch_site": "cross-site"},
        {"fetch_site": "cross-site"},
        {"fetch_site": "nonsense"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "NONSENSE"])
def test_any_other_page_may_not(rules: PageRules, sent: dict[str, str], method: str) -> None:
    with pytest.raises(ForeignOrigin):
        ask(rules, method=method, **sent)
    ask(rules, method="GET", **sent)  # the browser keeps the answer from the page
