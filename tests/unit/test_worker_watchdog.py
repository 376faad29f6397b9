"""The heartbeat of a running job, its time limit, and the deadline that ends a hung process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
import redis

from shared.contract.errors import InvalidImage
from shared.rq_worker.watchdog import JobTimedOut, beating, deadline, time_limit

HANGS_WITH_THE_INTERPRETER_LOCK = """
import ctypes
from shared.rq_worker.watchdog import deadline

with deadline(0.2):
    ctypes.PyDLL(None).sleep(60)
"""


def test_the_heart_beats_while_the_block_runs_and_then_stops() -> None:
    beats = threading.Semaphore(0)
    with beating(beats.release, interval=0.001):
        assert beats.acquire(timeout=60)
        assert beats.acquire(timeout=60)
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


@pytest.mark.parametrize("error", [redis.ConnectionError("away"), ValueError("a reply that is no number")])
def test_a_beat_that_fails_does_not_stop_the_heart(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    beats = threading.Semaphore(0)

    def beat() -> None:
        beats.release()
        raise error

    with beating(beat, interval=0.001):
        assert beats.acquire(timeout=60)
        assert beats.acquire(timeout=60)
    assert "heartbeat lost" in caplog.text


def test_a_job_over_its_time_limit_is_interrupted_even_where_every_exception_is_handled() -> None:
    def decode() -> None:
        try:
            signal.raise_signal(signal.SIGALRM)
        except Exception as error:
            raise InvalidImage("it cannot be decoded") from error

    with pytest.raises(JobTimedOut), time_limit(60):
        decode()
    assert signal.alarm(0) == 0


def test_a_block_in_time_is_left_alone() -> None:
    with deadline(60), time_limit(60):
        pass
    assert signal.alarm(0) == 0


def test_a_process_that_hangs_in_c_code_is_ended_and_says_where() -> None:
    process = subprocess.run(
        [sys.executable, "-c", HANGS_WITH_THE_INTERPRETER_LOCK],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode != 0
    assert "Timeout" in process.stderr
    assert "line 6" in process.stderr


def test_a_process_whose_end_hangs_is_ended() -> None:
    """It hangs where the interpreter is gone: in a function that the C library calls last."""
    program = """
import ctypes
from shared.rq_worker.watchdog import end_within

library = ctypes.CDLL(None)
library.on_exit(library.pause, None)
end_within(1)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == -signal.SIGALRM
