"""Replies that nobody asked for, that cannot be parsed or have the wrong type. Each costs its connection, no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import redis

from prompt_api.access.rates import RateLimits, parse_rates
from prompt_api.access.scopes import Quota
from prompt_api.metrics.queue_load import queue_load
from shared.contract.errors import RateLimited, StoreUnavailable
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import cache_client, request_client, worker_client
from shared.rq_worker.registration import last_sign
from shared.store.redis_store import RedisStore
from tests.support.proxy import Link, Proxy, Trap

SOON = 60.0
KEY = EmbeddingKey.of("c" * 64, FAKE)
DEEP = b"*1\r\n" * 5_000 + b":1\r\n"
UNREADABLE = {
    "no number": b":abc\r\n",
    "a number of 5000 digits": b":" + b"1" * 5_000 + b"\r\n",
    "no type": b"?what\r\n",
    "no length": b"$x\r\n",
    "a list as a name": b"%1\r\n*0\r\n:1\r\n",
    "nested deep": DEEP,
}
WRONG = {
    "number": b":7\r\n",
    "text": b"+QUEUED\r\n",
    "list": b"*2\r\n:1\r\n:2\r\n",
    "table": b"%1\r\n+a\r\n:1\r\n",
    "truth": b"#t\r\n",
    "fraction": b",1.5\r\n",
    "nothing": b"_\r\n",
    "bytes": b"$3\r\nabc\r\n",
}


@pytest.fixture
def link(valkey_url: str) -> Iterator[Link]:
    with Proxy() as proxy, request_client(valkey_url, timeout=SOON) as direct:
        yield proxy.link("redis", direct.connection_pool.connection_kwargs["port"])
        direct.flushdb()


CLIENTS: dict[str, Callable[[str], redis.Redis]] = {
    "requests": lambda url: request_client(url, SOON),
    "worker": worker_client,
}


@pytest.mark.parametrize("connect", CLIENTS.values(), ids=CLIENTS)
def test_a_reply_that_nobody_asked_for_is_shaken_off(link: Link, connect: Callable[[str], redis.Redis]) -> None:
    with connect(link.url) as client:
        client.set("a", "1")
        link.add(b"+surplus\r\n")
        assert client.connection_pool._available_connections[0].can_read(SOON)
        assert client.get("a") == b"1"
        assert client.ping() is True


@pytest.mark.parametrize("reply", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("connect", CLIENTS.values(), ids=CLIENTS)
def test_a_reply_that_cannot_be_parsed_costs_one_operation(
    link: Link, connect: Callable[[str], redis.Redis], reply: bytes
) -> None:
    with connect(link.url) as client:
        client.set("a", "1")
        link.arm(Trap(re.compile(b"GET"), hold=False, instead=reply))
        with pytest.raises(redis.ConnectionError):
            client.get("a")
        assert client.get("a") == b"1"


COMMANDS = re.compile(rb"\r\n(GET|SET|EXISTS|UNLINK|SMEMBERS|EVAL)\r\n")
STORE: dict[str, tuple[Callable[[RedisStore], object], set[str]]] = {
    "get": (lambda store: store.get("a"), {"nothing", "bytes", "text"}),
    "put": (lambda store: store.put("a", b"1", 60), set()),
    "exists": (lambda store: store.exists("a"), {"number"}),
    "delete": (lambda store: store.delete("a"), {"number"}),
    "members": (lambda store: store.members("s"), {"table", "nothing"}),  # redis-py makes sets of them
    "remove_member": (lambda store: store.remove_member("s", "m"), {"number"}),
}
"""Each operation, and the replies that are of its type."""


@pytest.mark.parametrize("operation", STORE)
def test_a_reply_of_the_wrong_type_is_an_unavailable_store_and_the_next_operation_works(
    link: Link, operation: str
) -> None:
    ask, right = STORE[operation]
    store = RedisStore(cache_client(link.url, SOON))
    for kind, reply in WRONG.items():
        if kind in right:
            continue
        trap = Trap(COMMANDS, hold=False, instead=reply + b"+surplus\r\n")
        link.arm(trap)
        with pytest.raises(StoreUnavailable):
            ask(store)
        assert trap.sprung.is_set()
        link.disarm(trap)
        store.put("a", b"kept", 60)
        assert store.get("a") == b"kept"


@pytest.mark.parametrize("reply", [*UNREADABLE.values(), *WRONG.values()], ids=[*UNREADABLE, *WRONG])
@pytest.mark.parametrize(
    "ask",
    [
        lambda queue: queue.state(KEY),
        lambda queue: queue.submit(KEY),
        lambda queue: queue.workers_alive(KEY.queue),
        lambda queue: queue.ping(),
    ],
)
def test_the_queue_survives_any_reply(link: Link, ask: Callable[[RqEncodeQueue], object], reply: bytes) -> None:
    """One that has the right type by chance is taken. A second one that comes late costs one operation more."""
    with request_client(link.url, SOON) as client:
        queue = RqEncodeQueue(client, Settings())
        link.arm(Trap(re.compile(b"HMGET|EVAL|SMEMBERS|INFO"), hold=False, instead=reply + reply))
        with suppress(StoreUnavailable):
            ask(queue)
        with suppress(StoreUnavailable):  # the second reply may come after the connection was looked at
            queue.forget(KEY)
        queue.forget(KEY)
        assert queue.submit(KEY)
        assert queue.state(KEY).position == 0


def test_members_that_are_no_text_hurt_nobody(link: Link) -> None:
    store = RedisStore(cache_client(link.url, SOON))
    with request_client(link.url, SOON) as client:
        client.sadd("s", b"\xff", b"mine")
    assert "mine" in store.members("s")


@pytest.mark.parametrize("reply", [*UNREADABLE.values(), *WRONG.values()], ids=[*UNREADABLE, *WRONG])
def test_rate_limits_survive_any_reply(link: Link, reply: bytes) -> None:
    with request_client(link.url, SOON) as client:
        limits = RateLimits(parse_rates(Settings(rate_limit_prompts="5/second")), client)
        link.arm(Trap(re.compile(rb"EVAL|GET"), hold=False, instead=reply))
        with suppress(RateLimited):
            limits.spend(Quota.PROMPTS, "somebody")


def test_what_redis_says_of_a_queue_and_its_workers_may_be_nonsense(link: Link) -> None:
    with request_client(link.url, SOON) as client:
        queue = RqEncodeQueue(client, Settings())
        queue.submit(KEY)
        for time in ("yesterday", b"\xff", "9" * 5_000, "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.000000Z"):
            client.hset(f"rq:job:{KEY.job_id}", "enqueued_at", time)
            client.sadd("rq:workers", "rq:worker:odd")
            client.hset("rq:worker:odd", mapping={"hostname": "here", "queues": KEY.queue, "last_heartbeat": time})
            assert queue_load(client, FAKE).waiting == 1
            last_sign(client, "here", KEY.queue.__eq__)
