"""The bench of upload to ready: what it says of both sides."""

from __future__ import annotations

from bench.ready import summary


def test_the_summary_says_how_many_times_faster_this_checkout_is() -> None:
    assert summary([800, 600, 700], [500, 480, 2000]).splitlines() == [
        "median: other 700 ms, here 500 ms, 1.40x (asked: 1.15x)",
        "least: other 600 ms, here 480 ms, 1.25x (asked: 1.15x)",
    ]
