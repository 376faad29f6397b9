"""The judge finds each broken promise in a ledger that was made for the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.judge import broken_promises
from tests.chaos.ledger import End, Injected, Ledger, Request
from tests.chaos.load import IN_MEMORY
from tests.chaos.report import as_json, markdown
from tests.chaos.run import QUICK, Run

CALM, TROUBLE, AFTER = 10.0, 20.0, 30.0


class Story:
    """A run in which all went well: calm until 15 s, one fault from 18 s to 22 s, all healed at 24 s."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.fault = Injected("a fault", 18.0, bound=5.0, stops_redis=True, healed=22.0, answers=1.0, encodes=2.0)
        self.calm_encodes = Counter({"calm": 1})
        self.encodes = Counter({"later": 2})
        self.calm_searches = Counter({"calm": 1})
        self.searches = Counter({"later": 2})
        self.problems: list[str] = []
        self.ledger.check(True, "")
        self.upload("calm", CALM, CALM + 1)
        self.upload("later", TROUBLE, AFTER)
        self.search("calm", CALM, CALM + 1)
        self.search("later", TROUBLE, AFTER)

    def upload(self, name: str, acknowledged: float, ended: float | None, end: End = End.READY) -> None:
        upload = self.ledger.acknowledge(name)
        upload.acknowledged = acknowledged
        if ended is not None:
            self.ledger.settle(upload, end)
            upload.ended = ended

    def search(
        self, name: str, acknowledged: float, ended: float | None, end: End = End.READY, error: str | None = None
    ) -> None:
        search = self.ledger.acknowledge_search(name, "job")
        search.acknowledged = acknowledged
        if ended is not None:
            self.ledger.settle(search, end, error)
            search.ended = ended

    def request(self, status: int | None, code: str | None = None, *, at: float = TROUBLE, **changed: object) -> None:
        plain = Request("masks", at, at + 0.1, 0.0, status, code)
        self.ledger.record(replace(plain, **changed))  # type: ignore[arg-type]  # a test's shorthand

    def run(self) -> Run:
        injected = [Injected("no fault", 5.0, healed=15.0, encodes=1.0), self.fault]
        return Run(
            replace(QUICK, slack=1.0),
            1,
            self.ledger,
            injected,
            self.calm_encodes,
            self.encodes,
            self.calm_searches,
            self.searches,
            self.problems,
            35.0,
        )


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_run_without_a_flaw_breaks_no_promise(story: Story) -> None:
    for status, code in ((200, None), (503, "store-unavailable"), (404, "image-not-found")):
        story.request(status, code)
    assert broken_promises(story.run()) == []


def _never_ended(story: Story) -> None:
    story.upload("forgotten", TROUBLE, None)


def _gone_though_the_cache_lost_nothing(story: Story) -> None:
    story.upload("gone", TROUBLE, AFTER, End.GONE)


def _a_poison_that_became_ready(story: Story) -> None:
    story.ledger.settle(story.ledger.acknowledge("poison", poison=True), End.READY)


def _a_wrong_mask(story: Story) -> None:
    story.ledger.check(False, "image x")


def _a_500(story: Story) -> None:
    story.request(500, "internal-error")


def _an_error_without_a_code(story: Story) -> None:
    story.request(503, None)


def _late_while_redis_is_stopped(story: Story) -> None:
    story.request(503, "store-unavailable", ended=TROUBLE + 6.0, wait=3.0)


def _late_at_any_time(story: Story) -> None:
    story.request(200, at=AFTER, ended=AFTER + 9.0)


def _slow_to_heal(story: Story) -> None:
    story.fault.encodes = 9.0


def _a_slow_recovery_of_the_image_at_hand(story: Story) -> None:
    story.fault.victim, story.fault.struck = "late victim", 19.0
    story.upload("late victim", 18.0, 60.0)


def _encoded_twice_in_calm(story: Story) -> None:
    story.calm_encodes["calm"] = 2


def _a_job_that_never_ended(story: Story) -> None:
    story.search("forgotten", TROUBLE, None)


def _a_job_that_nobody_stopped(story: Story) -> None:
    story.search("halted", TROUBLE, AFTER, End.STOPPED)


def _a_job_that_is_gone(story: Story) -> None:
    story.search("gone", TROUBLE, AFTER, End.GONE)


def _a_job_that_failed_without_a_code(story: Story) -> None:
    story.search("mute", TROUBLE, AFTER, End.FAILED)


def _a_job_that_failed_in_calm(story: Story) -> None:
    story.search("weak", CALM, CALM + 1, End.FAILED, "everything-failed")


def _searched_twice_in_calm(story: Story) -> None:
    story.calm_searches["calm"] = 2


def _a_broken_connection(story: Story) -> None:
    story.request(None, "ConnectionResetError")


def _a_prompt_refused_though_its_image_is_in_memory(story: Story) -> None:
    story.request(503, "store-unavailable", route=IN_MEMORY)


def _what_the_fault_found(story: Story) -> None:
    story.fault.broken.append("a damaged embedding was handed out")


def _what_the_log_tells(story: Story) -> None:
    story.problems.append("unhandled error")


def _a_process_outlived_its_worker(story: Story) -> None:
    story.fault.orphans = 2


def _nothing_was_compared(story: Story) -> None:
    story.ledger = Ledger()
    story.calm_encodes.clear()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_never_ended, "lost upload: image forgotten"),
        (_gone_though_the_cache_lost_nothing, "lost upload: image gone"),
        (_a_poison_that_became_ready, "cannot be encoded, and ended ready"),
        (_a_wrong_mask, "wrong answer: image x"),
        (_a_500, "masks was answered 500 internal-error"),
        (_an_error_without_a_code, "masks was answered 503 None"),
        (_late_while_redis_is_stopped, "a fault: 1 requests took longer than 2 s, up to 3.0 s"),
        (_late_at_any_time, "at any time: 1 requests took longer than 6 s, up to 9.0 s"),
        (_slow_to_heal, "a fault: worked again only after 8.0 s, not 5 s, the 1.0 s aside"),
        (_a_slow_recovery_of_the_image_at_hand, "ready after 41 s, not 30 s"),
        (_encoded_twice_in_calm, "image calm was encoded 2 times without a fault"),
        (_a_job_that_never_ended, "lost everything job: image forgotten, end None"),
        (_a_job_that_nobody_stopped, "lost everything job: image halted, end stopped"),
        (_a_job_that_is_gone, "lost everything job: image gone, end gone"),
        (_a_job_that_failed_without_a_code, "an everything job of image mute failed without a code"),
        (_a_job_that_failed_in_calm, "an everything job of image weak failed without a fault: everything-failed"),
        (_searched_twice_in_calm, "every mask of image calm was found 2 times without a fault"),
        (_a_broken_connection, "masks: ConnectionResetError though every API process lived (a fault)"),
        (_a_prompt_refused_though_its_image_is_in_memory, "1 of 1 prompts on an image in memory were refused"),
        (_what_the_fault_found, "a damaged embedding was handed out"),
        (_what_the_log_tells, "the log tells of a bug: unhandled error"),
        (_a_process_outlived_its_worker, "a fault: 2 decoding processes outlived their worker"),
        (_nothing_was_compared, "no answer was compared"),
    ],
)
def test_a_broken_promise_is_named(story: Story, spoil: Callable[[Story], None], sentence: str) -> None:
    spoil(story)
    (broken,) = broken_promises(story.run())
    assert sentence in broken


def test_an_image_may_be_gone_if_the_cache_lost_what_it_held_meanwhile(story: Story) -> None:
    story.fault.loses_cache = True
    story.upload("gone", TROUBLE, AFTER, End.GONE)
    story.search("gone", TROUBLE, AFTER, End.GONE)
    assert broken_promises(story.run()) == []


def test_a_job_may_fail_with_a_reason_while_things_are_broken(story: Story) -> None:
    story.search("unlucky", TROUBLE, AFTER, End.FAILED, "store-unavailable")
    assert broken_promises(story.run()) == []


def test_a_connection_may_break_while_an_api_process_is_killed(story: Story) -> None:
    story.fault.cuts_clients = True
    story.request(None, "ConnectionResetError")
    assert broken_promises(story.run()) == []


def test_the_table_counts_what_the_ledger_holds(story: Story) -> None:
    story.request(200)
    story.request(503, "store-unavailable", ended=TROUBLE + 1.25)
    story.ledger.check(False, "image x")
    story.fault.orphans = 1
    record = as_json(story.run(), ["wrong answer: image x"])
    table = markdown(record, "a-chaos.json")
    for row in (
        "| faults injected | 1 |",
        "| requests sent | 2 |",
        "| refused, by code | store-unavailable 1 |",
        "| encodes per image without faults | 1 for 1 images |",
        "| encodes per image with faults | 2 for 1 images |",
        "| everything jobs acknowledged | 2 |",
        "| their ends, and the longest | ready 2; 10.0 s |",
        "| searches per image without faults | 1 for 1 images |",
        "| searches per image with faults | 2 for 1 images |",
        "| **lost everything jobs** | **0** |",
        "| **wrong masks** | **1** |",
        "| **lost uploads** | **0** |",
        "| **decoding processes without a worker** | **1** |",
        "| a fault | 1 / 1 / 0 | 1.25 s | 1.0 s | 2.0 s |",
    ):
        assert row in table
    assert "1 promises were broken" in table
