"""Owners of images: remembered for a while, then looked up again, never guessed."""

from __future__ import annotations

import pytest

from prompt_api.access.owners import CAPACITY, OUTAGE_RECHECK, RECHECK, UNKNOWN, Everyone, RecordedOwners
from shared.contract.errors import ImageNotFound, StoreUnavailable
from shared.contract.keys import owners_key
from tests.support.memory_store import MemoryStore

IMAGE, OTHER = "a" * 64, "b" * 64


class CountingSets(MemoryStore):
    """A store that counts its reads, can be unavailable, and lets a test act during a read."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.away = False
        self.meanwhile = lambda: None

    def members(self, key: str) -> frozenset[str]:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("gone fishing")
        found = super().members(key)
        self.meanwhile()
        return found


@pytest.fixture
def sets() -> CountingSets:
    return CountingSets()


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def owners(sets: CountingSets, now: list[float]) -> RecordedOwners:
    return RecordedOwners(sets=sets, ttl=3600, clock=lambda: now[0])


def refused(owners: RecordedOwners, image_id: str, namespace: str) -> bool:
    try:
        owners.require(image_id, namespace)
    except ImageNotFound as error:
        return error.detail == UNKNOWN
    return False


def test_an_image_is_there_for_those_who_uploaded_it_alone(owners: RecordedOwners) -> None:
    owners.add(IMAGE, "alice")
    assert not refused(owners, IMAGE, "alice")
    assert refused(owners, IMAGE, "bob")
    assert refused(owners, OTHER, "alice")
    owners.add(IMAGE, "bob")
    assert not refused(owners, IMAGE, "bob")


def test_an_owner_is_looked_up_once_in_a_while_not_each_time(
    owners: RecordedOwners, sets: CountingSets, now: list[float]
) -> None:
    owners.add(IMAGE, "alice")
    for _ in range(100):
        owners.require(IMAGE, "alice")
    assert sets.asked == 0
    now[0] += RECHECK
    for _ in range(100):
        owners.require(IMAGE, "alice")
    assert sets.asked == 1


def test_a_stranger_is_looked_up_each_time_so_an_upload_elsewhere_counts_at_once(
    owners: RecordedOwners, sets: CountingSets
) -> None:
    assert refused(owners, IMAGE, "alice")
    RecordedOwners(sets=sets, ttl=3600).add(IMAGE, "alice")
    assert not refused(owners, IMAGE, "alice")


@pytest.mark.parametrize("heard", ["forget", "doubt", "time"])
def test_a_deletion_elsewhere_is_noticed(
    owners: RecordedOwners, sets: CountingSets, now: list[float], heard: str
) -> None:
    owners.add(IMAGE, "alice")
    RecordedOwners(sets=sets, ttl=3600).remove(IMAGE, "alice")
    if heard == "forget":
        owners.forget(IMAGE)
    elif heard == "doubt":
        owners.doubt()
    else:
        now[0] += RECHECK
    assert refused(owners, IMAGE, "alice")
    assert refused(owners, IMAGE, "alice")


def test_a_deletion_heard_while_an_owner_is_looked_up_is_not_forgotten(
    owners: RecordedOwners, sets: CountingSets
) -> None:
    sets.add_member(owners_key(IMAGE), "alice", 3600)

    def delete() -> None:
        sets.remove_member(owners_key(IMAGE), "alice")
        owners.forget(IMAGE)

    sets.meanwhile = delete
    owners.require(IMAGE, "alice")
    assert refused(owners, IMAGE, "alice")


@pytest.mark.parametrize("doubted", [False, True])
def test_in_an_outage_the_last_answer_stands_and_few_requests_wait_for_another(
    owners: RecordedOwners, sets: CountingSets, now: list[float], doubted: bool
) -> None:
    owners.add(IMAGE, "alice")
    sets.away = True
    now[0] += RECHECK
    if doubted:
        owners.doubt()
    for _ in range(100):
        owners.require(IMAGE, "alice")
    assert sets.asked == 1
    now[0] += OUTAGE_RECHECK
    owners.require(IMAGE, "alice")
    assert sets.asked == 2
    with pytest.raises(StoreUnavailable):
        owners.require(IMAGE, "bob")
    sets.away = False
    sets.remove_member(owners_key(IMAGE), "alice")
    now[0] += OUTAGE_RECHECK
    assert refused(owners, IMAGE, "alice")


def test_an_image_is_released_by_all_but_the_last_and_removed_by_that(owners: RecordedOwners) -> None:
    owners.add(IMAGE, "alice")
    owners.add(IMAGE, "bob")
    assert owners.release(IMAGE, "alice") is True
    assert refused(owners, IMAGE, "alice")
    assert owners.release(IMAGE, "bob") is False
    assert not refused(owners, IMAGE, "bob")  # so that a failed deletion can be tried again
    owners.remove(IMAGE, "bob")
    assert refused(owners, IMAGE, "bob")


def test_one_of_two_concurrent_releases_is_the_last(owners: RecordedOwners, sets: CountingSets) -> None:
    owners.add(IMAGE, "alice")
    owners.add(IMAGE, "bob")
    sets.meanwhile = lambda: sets.remove_member(owners_key(IMAGE), "bob")
    assert owners.release(IMAGE, "alice") is False


def test_what_is_remembered_is_bounded(owners: RecordedOwners, sets: CountingSets) -> None:
    for number in range(CAPACITY + 10):
        owners.add(f"{number:064}", "alice")
    owners.require(f"{CAPACITY:064}", "alice")
    assert sets.asked == 0
    owners.require(f"{0:064}", "alice")
    assert sets.asked == 1


def test_without_tokens_everything_is_everyones() -> None:
    owners = Everyone()
    owners.require(IMAGE, "")
    assert owners.release(IMAGE, "") is False
