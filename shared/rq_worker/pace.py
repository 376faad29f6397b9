"""How soon a worker notices that another has died, and how soon it ends when it is told to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """All in seconds.

    Attributes:
        lease: a job without a heartbeat for this long is put back.
        beat: between two heartbeats of a running job.
        maintenance: between two looks for expired leases, and so the longest wait on an empty queue.
        grace: a job that outlives its time limit by this much has its process ended.
        stop: a job that runs this long after SIGTERM is put back, so that the process ends before an orchestrator
            kills it (after 30 s as a rule).
        breather: between a job that found too little memory and the next one. In this time another worker, if there is
            one, takes the job.
    """

    lease: int = 15
    beat: float = 5
    maintenance: int = 5
    grace: float = 10
    stop: float = 15
    breather: float = 1
