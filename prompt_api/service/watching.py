"""Waits for a change of what a job makes: an embedding, or the masks of an everything job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from shared.contract.job_key import JobKey
from shared.events.interface import Events
from shared.redis import allowance

POLL = 1.0
"""Seconds after which a waiting request looks again by itself. A lost wake-up costs at most this."""


class State(Protocol):
    """What is seen of a job at one moment."""

    @property
    def key(self) -> JobKey: ...

    @property
    def settled(self) -> bool:
        """Whether it changes no more."""
        ...


S = TypeVar("S", bound=State)


def once_settled(events: Events, key: JobKey, look: Callable[[], S], seconds: float, clock: Callable[[], float]) -> S:
    """Return the state as soon as it is settled, or after `seconds`.

    Args:
        look: returns the present state of the job that `key` names. What it raises ends the wait.
    """
    deadline = clock() + seconds
    with events.watch(key) as watch:
        while not (state := look()).settled:
            left = deadline - clock()
            if left <= 0:
                break
            watch.wait(min(left, POLL))
            allowance.renew()
    return state


def changes(events: Events, look: Callable[[], S], seconds: float, clock: Callable[[], float]) -> Iterator[S | None]:
    """Yield the present state, then each change, until it is settled or `seconds` have passed.

    About once a second without a change, yield None, so that the sender can notice that its client is gone.

    Args:
        look: returns the present state, always of one job. What it raises ends the wait.
    """
    deadline = clock() + seconds
    state = look()
    with events.watch(state.key) as watch:
        yield state
        while not state.settled and (left := deadline - clock()) > 0:
            watch.wait(min(left, POLL))
            allowance.renew()
            before, state = state, look()
            yield state if state != before else None
