"""Request ids: the client's is used if it is well-formed; otherwise a new one is made."""

from __future__ import annotations

import pytest

from shared.observe.request_id import request_id_of, well_formed
from shared.observe.tracing import NO_SPAN
from shared.queue.job_origin import JobOrigin


@pytest.mark.parametrize("text", ["a", "2f1c-7.Z_9", "x" * 64, "0af76519-16cd-43dd-8448-eb211c80319c"])
def test_a_well_formed_id_is_kept(text: str) -> None:
    assert request_id_of(text) == text


@pytest.mark.parametrize("text", [None, "", "x" * 65, "a b", "a\n", "a,b", "é", "<script>", "١"])
def test_any_other_is_replaced_by_a_new_one(text: str | None) -> None:
    made = [request_id_of(text) for _ in range(2)]
    assert made[0] != made[1]
    assert all(map(well_formed, made))
    assert text not in made


@pytest.mark.parametrize(
    "meta",
    [b"", b"{}", b"[]", b"7", b"\xff", b'{"request_id": 7, "traceparent": {}}', b'{"request_id": "a\\nb"}'],
)
def test_a_job_of_foreign_making_comes_from_nowhere(meta: bytes) -> None:
    assert JobOrigin.read(meta) == JobOrigin()


def test_a_job_that_nobody_asked_for_over_http_carries_nothing() -> None:
    assert JobOrigin.here(NO_SPAN).meta == {}
