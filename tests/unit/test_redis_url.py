"""URLs of sentinels and clusters: their parts, those that are refused, and no password in a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.errors import ConfigurationError
from shared.redis.url import Address, BehindSentinels, ClusterNodes, OneServer, parse_redis_url


@pytest.mark.parametrize("url", ["redis://here", "rediss://a:b@here:1/2?ssl_cert_reqs=none", "unix:///it", "nonsense"])
def test_other_urls_are_left_to_redis_py(url: str) -> None:
    assert parse_redis_url(url) == OneServer(url)


def test_a_url_of_sentinels_says_all_there_is_to_say() -> None:
    assert parse_redis_url(
        "rediss+sentinel://api:se%2Fcret@one:1,two,[::1]:3/my%20queue/2?sentinel_username=s&sentinel_password=t%26+"
    ) == BehindSentinels(
        sentinels=(Address("one", 1), Address("two", 26379), Address("::1", 3)),
        service="my queue",
        db=2,
        username="api",
        password="se/cret",
        sentinel_username="s",
        sentinel_password="t&+",
        tls=True,
    )


def test_a_url_of_sentinels_may_say_little() -> None:
    assert parse_redis_url("redis+sentinel://one/queue") == BehindSentinels((Address("one", 26379),), "queue")


def test_a_url_of_a_cluster_names_some_of_its_nodes() -> None:
    assert parse_redis_url("redis+cluster://:pass@one,two:7001,one:6379/") == ClusterNodes(
        (Address("one", 6379), Address("two", 7001)),
        password="pass",
    )
    assert parse_redis_url("rediss+cluster://one/0") == ClusterNodes((Address("one", 6379),), tls=True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinels://one/queue", "redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster"),
        ("unix+cluster://one", "schemes"),
        ("redis+sentinel://one", "the service's name"),
        ("redis+sentinel://one/", "the service's name"),
        ("redis+sentinel://one/queue/", "the service's name"),
        ("redis+sentinel://one/queue/x", "the service's name"),
        ("redis+sentinel://one/queue/1/2", "the service's name"),
        ("redis+sentinel:///queue", "an address is"),
        ("redis+sentinel://one,/queue", "an address is"),
        ("redis+sentinel://one:0/queue", "an address is"),
        ("redis+sentinel://one:65536/queue", "an address is"),
        ("redis+sentinel://one/queue?db=1", "sentinel_username and sentinel_password"),
        ("redis+sentinel://one/queue?sentinel_password", "sentinel_username and sentinel_password"),
        ("redis+cluster://", "an address is"),
        ("redis+cluster://one/1", "one database"),
        ("redis+cluster://one?x=y", "one database"),
        ("redis+cluster://a:b#c@one", "%23"),
    ],
)
def test_a_malformed_url_is_refused_with_the_reason(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_redis_url(url)
    assert says in refusal.value.detail


SECRET = "correct-horse"


@given(
    scheme=st.sampled_from(["redis+sentinel", "rediss+cluster", "redis+other"]),
    before=st.text(max_size=8),
    after=st.text(max_size=8),
    rest=st.text(max_size=20),
)
def test_whatever_surrounds_a_password_no_refusal_and_no_repr_shows_it(
    scheme: str, before: str, after: str, rest: str
) -> None:
    shown = ""
    try:
        location = parse_redis_url(f"{scheme}://user:{before}{SECRET}{after}@host/{rest}")
    except ConfigurationError as refusal:
        shown = refusal.detail
    else:
        if isinstance(location, BehindSentinels | ClusterNodes) and SECRET in (location.password or ""):
            shown = repr(location)
    assert SECRET not in shown
