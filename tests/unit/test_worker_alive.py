"""The liveness probe: a worker that is alive, silent, on another host or missing, and a queue that does not answer."""

from __future__ import annotations

from datetime import timedelta

import fakeredis
import pytest
from rq.utils import now, utcformat

from encoder_worker.alive import is_alive
from shared.contract.keys import queue_name
from shared.contract.models import FAKE, VIT_B

QUEUE = queue_name(FAKE.name, FAKE.weights_digest)


class Registrations:
    """The registrations of workers in the queue's Redis."""

    def __init__(self) -> None:
        self.server = fakeredis.FakeServer()
        self.client = fakeredis.FakeRedis(server=self.server)

    def add(self, name: str, host: str, *, age: float, queue: str = QUEUE) -> None:
        key = f"rq:worker:{name}"
        self.client.sadd("rq:workers", key)
        sign = utcformat(now() - timedelta(seconds=age))
        self.client.hset(key, mapping={"hostname": host, "queues": queue, "last_heartbeat": sign})


@pytest.fixture
def registrations() -> Registrations:
    return Registrations()


def test_a_worker_that_gave_a_sign_is_alive(registrations: Registrations) -> None:
    registrations.add("one", "here", age=8)
    assert is_alive(registrations.client, FAKE.name, "here")


def test_a_silent_worker_is_not(registrations: Registrations) -> None:
    registrations.add("one", "here", age=61)
    assert not is_alive(registrations.client, FAKE.name, "here")


def test_other_hosts_do_not_count(registrations: Registrations) -> None:
    registrations.add("one", "there", age=1)
    assert not is_alive(registrations.client, FAKE.name, "here")


def test_a_worker_that_has_not_registered_is_not_alive_yet(registrations: Registrations) -> None:
    assert not is_alive(registrations.client, FAKE.name, "here")


def test_the_one_that_came_after_a_lost_connection_counts(registrations: Registrations) -> None:
    registrations.add("before", "here", age=80)
    registrations.add("after", "here", age=2)
    assert is_alive(registrations.client, FAKE.name, "here")


def test_a_registration_that_ran_out_does_not_count(registrations: Registrations) -> None:
    registrations.client.sadd("rq:workers", "rq:worker:gone")
    assert not is_alive(registrations.client, FAKE.name, "here")


def test_while_the_queue_is_out_of_reach_no_worker_is_called_dead(registrations: Registrations) -> None:
    registrations.server.connected = False
    assert is_alive(registrations.client, FAKE.name, "here")


def test_a_worker_of_a_checkpoint_of_ones_own_is_found_by_the_name_of_its_model(registrations: Registrations) -> None:
    own = VIT_B.with_checkpoint("a" * 64)
    assert own.weights_digest != VIT_B.weights_digest
    registrations.add("one", "here", age=8, queue=queue_name(own.name, own.weights_digest))
    assert is_alive(registrations.client, VIT_B.name, "here")


@pytest.mark.parametrize("queue", [queue_name("fake-2", FAKE.weights_digest), "sam-encode-fake", "default"])
def test_workers_of_other_models_do_not_count(registrations: Registrations, queue: str) -> None:
    registrations.add("one", "here", age=8, queue=queue)
    assert not is_alive(registrations.client, FAKE.name, "here")
