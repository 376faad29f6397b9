"""Tokens: what the setting may contain, and which requests carry a token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_api.access import new_token
from prompt_api.access.grants import Authenticator, Grant, digest_of, parse_grants
from prompt_api.access.scopes import Scope
from shared.contract.errors import ConfigurationError, Unauthorized

ALICE, BOB = (new_token.PREFIX + 43 * letter for letter in "AB")


def entry(token: str, namespace: str = "alice", scopes: str = "read+write") -> str:
    return f"{namespace}:{scopes}:{hashlib.sha256(token.encode()).hexdigest()}"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_an_empty_setting_is_no_tokens() -> None:
    assert parse_grants("") == parse_grants(" , ") == ()
    assert not Authenticator(()).enabled


def test_entries_are_read_in_order_with_their_scopes() -> None:
    grants = parse_grants(f"{entry(ALICE)}, {entry(BOB, 'bob-2', 'read')},")
    assert [(grant.namespace, grant.scopes) for grant in grants] == [
        ("alice", {Scope.READ, Scope.WRITE}),
        ("bob-2", {Scope.READ}),
    ]
    assert [parse_grants(grant.entry) for grant in grants] == [(grant,) for grant in grants]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (ALICE, "namespace:scopes:hash"),
        (f"alice:read:{ALICE}", "SHA-256"),
        (entry(ALICE).upper(), "namespace"),
        (entry(ALICE, "Alice"), "namespace"),
        (entry(ALICE, ""), "namespace"),
        (entry(ALICE, "a" * 33), "namespace"),
        (entry(ALICE, "a b"), "namespace"),
        (entry(ALICE, scopes=""), "scopes"),
        (entry(ALICE, scopes="admin"), "scopes"),
        (entry(ALICE, scopes="read,write"), "namespace:scopes:hash"),
        (entry(ALICE)[:-1], "64 digits"),
        (f"{entry(ALICE)},{entry(ALICE, 'bob')}", "same hash"),
        (entry(""), "hash of an empty token"),
    ],
)
def test_a_malformed_setting_is_refused_without_repeating_it(setting: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refusal:
        parse_grants(setting)
    assert ALICE not in refusal.value.detail


@pytest.mark.parametrize("write", ["Bearer {}", "bearer {}", "Basic {}"])
def test_a_token_is_found_however_it_is_sent(write: str) -> None:
    known = Authenticator(parse_grants(f"{entry(ALICE)},{entry(BOB, 'bob')}"))
    for token, namespace in ((ALICE, "alice"), (BOB, "bob")):
        header = basic("anybody", token) if write.startswith("Basic") else write.format(token)
        assert known.require(header).namespace == namespace


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {ALICE}x",
        f"Bearer {ALICE[:-1]}",
        f"Bearer {hashlib.sha256(ALICE.encode()).hexdigest()}",
        ALICE,
        f"Token {ALICE}",
        f"Digest username={ALICE}",
        basic(ALICE, ""),
        basic("alice", "wrong"),
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Bearer \udcff\xff",
    ],
)
def test_what_is_no_known_token_is_refused(header: str | None) -> None:
    known = Authenticator(parse_grants(entry(ALICE)))
    assert known.identify(header) is None
    with pytest.raises(Unauthorized) as refusal:
        known.require(header)
    assert ALICE not in refusal.value.detail


@given(st.text())
def test_no_header_crashes_it(text: str) -> None:
    assert Authenticator(parse_grants(entry(ALICE))).identify(text) is None
    assert Authenticator(parse_grants(entry(ALICE))).identify(f"Bearer {text}") is None


def test_every_token_is_compared_whichever_is_right() -> None:
    compared: list[bytes] = []

    def compare(known: bytes, presented: bytes) -> bool:
        compared.append(known)
        return hmac.compare_digest(known, presented)

    tokens = [new_token.new_token() for _ in range(4)]
    grants = parse_grants(",".join(entry(token) for token in tokens))
    authenticator = Authenticator(grants, compare)
    for header in (*(f"Bearer {token}" for token in tokens), "Bearer wrong", None):
        compared.clear()
        authenticator.identify(header)
        assert compared == [grant.digest for grant in grants]


def test_comparing_takes_a_time_that_says_nothing_unless_told_otherwise() -> None:
    assert Authenticator.__init__.__defaults__ == (hmac.compare_digest,)


def test_two_tokens_of_one_namespace_are_both_good_until_one_is_taken_out() -> None:
    both = Authenticator(parse_grants(f"{entry(ALICE)},{entry(BOB)}"))
    assert both.require(f"Bearer {ALICE}").namespace == both.require(f"Bearer {BOB}").namespace == "alice"
    later = Authenticator(parse_grants(entry(BOB)))
    assert later.identify(f"Bearer {ALICE}") is None
    assert later.require(f"Bearer {BOB}").namespace == "alice"


def test_the_name_of_a_grant_does_not_give_its_token_away() -> None:
    grant = Grant("alice", frozenset(Scope), digest_of(ALICE))
    assert grant.name.startswith("alice:")
    assert ALICE not in repr(grant) + grant.name
    assert grant.name != Grant("alice", frozenset(Scope), digest_of(BOB)).name


def run_command(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["new_token", *arguments])
    assert new_token.main() == 0
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]


def test_the_command_makes_a_token_and_the_entry_that_admits_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token, made = run_command("alice", "--scopes", "read", monkeypatch=monkeypatch, capsys=capsys)
    other, _ = run_command("alice", monkeypatch=monkeypatch, capsys=capsys)
    assert Authenticator(parse_grants(made)).require(f"Bearer {token}").scopes == {Scope.READ}
    assert token != other
    assert len(token) >= 43  # 256 bits in base64


@pytest.mark.parametrize("name", ["Alice:read", "teamA", ""])
def test_the_command_says_what_is_wrong_with_a_namespace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["new_token", name])
    with pytest.raises(SystemExit) as refused:
        new_token.main()
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert f"{name!r} is no namespace: a namespace is 1 to 32 of a-z" in said
    assert "SAM_TOKENS" not in said  # nobody has set it
