"""The timer for the stages of requests and of jobs."""

from __future__ import annotations

from threading import Thread

import pytest

from shared.observe.stages import Stages
from shared.observe.tracing import SpanKind, entered
from tests.support.kept import KeptSpan


def test_a_stage_that_comes_twice_adds_up() -> None:
    stages = Stages()
    stages.add("wait", 1.5)
    stages.add("wait", 2)
    with stages.stage("wait"):
        pass
    assert stages.seconds["wait"] >= 3.5
    assert list(stages.seconds) == ["wait"]


def test_a_stage_that_raises_counts_too() -> None:
    stages = Stages()
    with pytest.raises(ZeroDivisionError), stages.stage("decode"):
        raise ZeroDivisionError
    assert "decode" in stages.seconds


def test_laps_leave_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 11.0, 14.0, 14.5])
    monkeypatch.setattr("shared.observe.stages.time.perf_counter", lambda: next(clock))
    stages = Stages()
    for stage in ("load", "wait", "load"):
        stages.lap(stage)
    assert stages.seconds == {"load": 1.5, "wait": 3.0}


def test_what_ends_in_another_thread_belongs_to_the_span_it_began_in() -> None:
    span = KeptSpan("job", SpanKind.CONSUMER, "", {})
    ended: list[tuple[str, float]] = []
    with entered(span):
        stages = Stages(lambda name, seconds: ended.append((name, seconds)))
    thread = Thread(target=stages.lap, args=("encode",))
    thread.start()
    thread.join()
    assert span.parts == ["encode"]
    assert ended == [("encode", stages.seconds["encode"])]
