"""The probe of a worker: fresh, silent, another host's, none, and a queue that does not answer."""

from __future__ import annotations

from datetime import timedelta

import fakeredis
import pytest
from rq.utils import now, utcformat

from encoder_worker.alive import is_alive

QUEUE = "sam-encode-fake"


class Registrations:
    """What workers have written in the queue's Redis."""

    def __init__(self) -> None:
        self.server = fakeredis.FakeServer()
        self.client = fakeredis.FakeRedis(server=self.server)

    def add(self, name: str, host: str, *, age: float) -> None:
        key = f"rq:worker:{name}"
        self.client.sadd(f"rq:workers:{QUEUE}", key)
        sign = utcformat(now() - timedelta(seconds=age))
        self.client.hset(key, mapping={"hostname": host, "last_heartbeat": sign})


@pytest.fixture
def registrations() -> Registrations:
    return Registrations()


def test_a_worker_that_gave_a_sign_is_alive(registrations: Registrations) -> None:
    registrations.add("one", "here", age=8)
    assert is_alive(registrations.client, QUEUE, "here")


def test_a_silent_worker_is_not(registrations: Registrations) -> None:
    registrations.add("one", "here", age=61)
    assert not is_alive(registrations.client, QUEUE, "here")


def test_other_hosts_do_not_count(registrations: Registrations) -> None:
    registrations.add("one", "there", age=1)
    assert not is_alive(registrations.client, QUEUE, "here")


def test_a_worker_that_has_not_registered_is_not_alive_yet(registrations: Registrations) -> None:
    assert not is_alive(registrations.client, QUEUE, "here")


def test_the_one_that_came_after_a_lost_connection_counts(registrations: Registrations) -> None:
    registrations.add("before", "here", age=80)
    registrations.add("after", "here", age=2)
    assert is_alive(registrations.client, QUEUE, "here")


def test_a_registration_that_ran_out_does_not_count(registrations: Registrations) -> None:
    registrations.client.sadd(f"rq:workers:{QUEUE}", "rq:worker:gone")
    assert not is_alive(registrations.client, QUEUE, "here")


def test_while_the_queue_is_out_of_reach_no_worker_is_called_dead(registrations: Registrations) -> None:
    registrations.server.connected = False
    assert is_alive(registrations.client, QUEUE, "here")
