"""`python -m bench.siege` at a small size: others do harm, and a light client is served. No time is judged here."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from bench.siege import Plan, Seen, siege
from tests.support.fleet import Fleet

SMALL = Plan(readers=40, silent=150, heavy=4, seconds=3.0, afterwards=120.0)


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    with Fleet(2, settings={"SAM_MODEL": "fake"}) as fleet:
        yield siege(fleet, urlsplit(fleet.url).netloc, SMALL)


def test_a_light_client_is_answered_while_others_do_harm(seen: Seen) -> None:
    assert seen.light
    assert not seen.refused


def test_the_health_check_is_always_answered_and_no_replica_is_taken_out(seen: Seen) -> None:
    assert set(seen.health_answers) == {"200"}
    assert seen.taken_out == []


def test_the_heavy_client_gets_masks_or_a_refusal_of_the_contract(seen: Seen) -> None:
    assert seen.heavy["200"] > 0
    assert set(seen.heavy) <= {"200", "503 overloaded", "429 rate-limited"}


def test_nothing_of_it_stays(seen: Seen) -> None:
    assert seen.left == []
