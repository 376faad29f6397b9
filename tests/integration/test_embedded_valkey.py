"""The servers that `make run` starts: each has a limit, and a policy that suits its role."""

from __future__ import annotations

import httpx
import pytest
import redis

from deploy.local import embedded_valkey
from tests.support.stack import ObservedStack
from tests.support.world import png

MIB = 1 << 20


def test_each_role_has_a_server_with_a_limit_and_its_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "_LEAST_CACHE", 8 * MIB)
    monkeypatch.setattr(embedded_valkey, "_MOST_CACHE", 8 * MIB)
    with ObservedStack({"SAM_MODEL": "fake"}) as stack:
        seen = {}
        for role, url in (("cache", stack.valkey_url), ("queue", stack.queue_url)):
            with redis.Redis.from_url(url) as client:
                found = client.info("memory")
                assert isinstance(found, dict)
                seen[role] = found["maxmemory"], found["maxmemory_policy"]
        assert seen == {"cache": (8 * MIB, "allkeys-lfu"), "queue": (256 * MIB, "noeviction")}
        answers = [prompted(stack.url, number) for number in range(8)]  # an embedding takes 2 MB: more than fit
        # A full cache may also forget the image at hand. Then a client uploads it again.
        assert set(answers) <= {200, 404, 410}
        assert any(prompted(stack.url, 8) == 200 for _ in range(20))


def prompted(url: str, number: int) -> int:
    """Upload a picture and prompt it. Return the status of the first refusal, or 200."""
    answer = httpx.post(f"{url}/v1/images?wait=20", content=png(colour=(number, 1, 1)), timeout=60)
    if answer.status_code == 200:
        prompt = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}
        answer = httpx.post(f"{url}/v1/images/{answer.json()['image_id']}/masks?wait=20", json=prompt, timeout=60)
    return answer.status_code


def test_the_cache_takes_a_quarter_of_the_memory_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    def most(memory: int) -> int:
        monkeypatch.setattr(embedded_valkey.os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": memory}.__getitem__)
        options = embedded_valkey.cache_options()
        return int(options[options.index("--maxmemory") + 1])

    assert [most(gib << 30) / (1 << 30) for gib in (0, 2, 8, 256)] == [0.25, 0.5, 2, 4]
