"""Which node of a cluster is asked for a key, and what happens if it is the wrong node or does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, ClusterError, MovedError

from shared.redis import allowance
from shared.redis.cluster import REFRESH_PAUSE, SLOTS, Cluster, owners_of_slots
from shared.redis.url import Address

ONE, TWO, SEED = Address("one", 1), Address("two", 2), Address("seed", 3)
LEFT, RIGHT = "b", "a"
"""A key in the lower half and a key in the upper half of the slots."""

BOTH = [[0, 8191, [b"one", 1, b"id"], [b"replica", 4, b"id"]], [8192, 16383, [b"two", 2, b"id"]]]
ALL_TWO = [[0, 16383, [b"two", 2, b"id"]]]


class Node:
    """A stand-in for the client of one node."""

    def __init__(self, address: Address, heard: list[tuple[Address, str]]) -> None:
        self.slots: Any = BOTH
        self.info = b"cluster_state:ok\r\n"
        self.fails = False
        self._address = address
        self._heard = heard

    def execute_command(self, *words: str) -> Any:
        self._heard.append((self._address, " ".join(words)))
        if self.fails:
            raise redis.ConnectionError("refused")
        return {"CLUSTER SLOTS": self.slots, "CLUSTER INFO": self.info}.get(" ".join(words))

    @contextmanager
    def client(self) -> Iterator[Node]:
        yield self


class World:
    """A cluster of stand-in nodes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.heard: list[tuple[Address, str]] = []
        self.nodes = {address: Node(address, self.heard) for address in (ONE, TWO, SEED)}
        self.cluster = Cluster([SEED], lambda address: cast(redis.Redis, self.nodes[address]), clock=lambda: self.now)
        self.answers: dict[Address, list[Exception]] = {ONE: [], TWO: []}

    def ask(self, key: str) -> str:
        """Run an operation for `key` and return the name of the node that answers. Prepared errors come first."""

        def operation(client: redis.Redis) -> str:
            (address,) = (address for address, node in self.nodes.items() if node is cast(Any, client))
            self.heard.append((address, "the operation"))
            if self.answers[address]:
                raise self.answers[address].pop(0)
            return address.host

        return self.cluster.run(key, operation)

    def asked(self, words: str) -> list[Address]:
        return [address for address, said in self.heard if said == words]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def allowed() -> Iterator[Callable[[float], None]]:
    yield allowance.grant
    allowance.revoke()


def test_the_keys_lie_as_the_tests_say() -> None:
    assert key_slot(LEFT.encode()) < SLOTS // 2 <= key_slot(RIGHT.encode())


def test_a_key_is_asked_for_where_its_slot_is(world: World) -> None:
    assert (world.ask(LEFT), world.ask(RIGHT)) == ("one", "two")
    assert world.asked("CLUSTER SLOTS") == [SEED]


def test_a_moved_key_is_followed_and_the_map_read_again(world: World) -> None:
    world.ask(LEFT)
    world.now += REFRESH_PAUSE
    world.answers[ONE] = [MovedError(f"{key_slot(LEFT.encode())} two:2")]
    world.nodes[ONE].slots = ALL_TWO
    assert world.ask(LEFT) == "two"
    assert world.ask("c") == "two", "another key of the lower half"
    assert world.asked("CLUSTER SLOTS") == [SEED, ONE]


def test_a_key_on_its_way_is_asked_for_with_permission_and_only_this_once(world: World) -> None:
    world.answers[ONE] = [AskError(f"{key_slot(LEFT.encode())} two:2")]
    assert world.ask(LEFT) == "two"
    assert world.heard[-2:] == [(TWO, "ASKING"), (TWO, "the operation")]
    assert world.ask(LEFT) == "one"


def test_nodes_that_send_each_other_a_key_around_are_given_up(world: World) -> None:
    slot = key_slot(LEFT.encode())
    world.answers = {ONE: [MovedError(f"{slot} two:2")] * 9, TWO: [MovedError(f"{slot} one:1")] * 9}
    with pytest.raises(ClusterError):
        world.ask(LEFT)
    assert len(world.asked("the operation")) < 9


def test_while_a_node_fails_the_map_is_read_once_a_second_and_not_there_first(world: World) -> None:
    world.ask(LEFT)
    world.now += REFRESH_PAUSE
    for _ in range(5):
        world.answers[ONE] = [redis.ConnectionError("refused")]
        with pytest.raises(redis.ConnectionError):
            world.ask(LEFT)
    assert world.asked("CLUSTER SLOTS") == [SEED, TWO]
    world.now += REFRESH_PAUSE
    world.nodes[TWO].slots = ALL_TWO
    world.answers[ONE] = [redis.TimeoutError("hangs")]
    with pytest.raises(redis.TimeoutError):
        world.ask(LEFT)
    assert world.ask(LEFT) == "two"


def test_a_request_that_has_waited_enough_looks_for_nothing(world: World, allowed: Callable[[float], None]) -> None:
    allowed(1.0)
    world.ask(LEFT)
    world.now += REFRESH_PAUSE
    allowed(0.0)
    world.answers[ONE] = [redis.TimeoutError("hangs")]
    with pytest.raises(redis.TimeoutError):
        world.ask(LEFT)
    assert world.asked("CLUSTER SLOTS") == [SEED]


def test_a_slot_that_nobody_serves_is_refused(world: World) -> None:
    world.nodes[SEED].slots = BOTH[1:]
    world.nodes[TWO].slots = BOTH[1:]
    with pytest.raises(ClusterDownError):
        world.ask(LEFT)
    assert world.ask(RIGHT) == "two"


def test_while_nobody_answers_each_operation_fails_until_somebody_does(world: World) -> None:
    world.nodes[SEED].fails = True
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            world.ask(LEFT)
    world.nodes[SEED].fails = False
    assert world.ask(LEFT) == "one"


def test_the_cluster_works_if_one_node_says_so(world: World) -> None:
    world.ask(LEFT)
    world.nodes[ONE].fails = True
    world.nodes[TWO].info = b"cluster_state:fail\r\n"
    world.cluster.ping()
    world.nodes[SEED].info = b"cluster_state:fail\r\n"
    with pytest.raises(redis.ConnectionError):
        world.cluster.ping()


def test_a_node_without_a_name_is_where_the_reply_came_from() -> None:
    owners = owners_of_slots([[0, 1, [b"", 7, b"id"]], [3, 3, [None, 8, b"id"]]], Address("here", 1))
    assert owners[:5] == [Address("here", 7), Address("here", 7), None, Address("here", 8), None]
    assert len(owners) == SLOTS


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"x",
        [1],
        [[]],
        [[0, 1]],
        [[0, 1, []]],
        [[0, 1, [b"a", b"b"]]],
        [[0, SLOTS, [b"a", 1]]],
        [["0", 1, [b"a", 1]]],
    ],
)
def test_another_reply_is_refused(reply: object) -> None:
    with pytest.raises(redis.ResponseError):
        owners_of_slots(reply, SEED)
