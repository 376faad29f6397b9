"""Every thread and every pool of threads of both services, and what keeps each alive.

A thread that an error ends is not missed until its work is: deleted images are answered, leases run out. So whoever
starts a thread lists it here, and says which test gives it an error.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.test_promises import NAMED, functions_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "prompt_api", "encoder_worker")
STARTS = re.compile(r"\b(?:Thread|Timer|Process|\w*PoolExecutor|start_new_thread)\((?!\))")

ONE_TASK = "It has one task and ends with it. "
POOL = "A pool's thread hands an error of its task to the task's future, and takes the next task. "

KEPT_ALIVE = {
    "shared/events/redis_events.py": [
        "Hears of deleted images, for as long as the process lives. Any error opens a new connection. `/readyz` fails "
        "in a process that hears nothing: "
        "`tests/contract/test_events.py::test_whatever_the_server_sends_events_are_heard_again`, "
        "`tests/contract/test_events.py::test_a_callback_that_fails_ends_nothing_and_is_told_of_the_gap`, "
        "`tests/contract/test_events.py::test_a_listener_that_hears_nothing_is_not_fit`",
    ],
    "shared/observe/otel.py": [
        ONE_TASK + "Nobody waits longer than two seconds for it: "
        "`tests/integration/test_logs_and_traces.py::test_a_collector_that_hangs_costs_no_request_and_no_stop`",
    ],
    "prompt_api/models/two_way/onnx_decoder.py": [
        POOL + "The request that asked gets the error.",
        POOL + "It prepares images ahead of their next prompt, which prepares what is not ready.",
    ],
    "prompt_api/everything/generate.py": [
        POOL + "The job gets the error: "
        "`tests/unit/test_everything_generate.py::test_an_error_of_the_decoder_ends_the_job`",
    ],
    "prompt_api/integrations/label_studio/pictures.py": [
        POOL + "It fetches images ahead of the first click, which fetches what is not there.",
    ],
    "prompt_api/serving/orphans.py": [
        ONE_TASK + "It ends the process when its parent ends, and reads nothing but a pipe: "
        "`tests/integration/test_one_service_per_address.py::"
        "test_a_second_service_on_an_address_is_refused_and_a_killed_one_leaves_nothing_behind`",
    ],
    "prompt_api/remote_images/names.py": [
        ONE_TASK + "The fetch gets the error of its look-up, and waits no longer than its own time: "
        "`tests/unit/test_remote_images.py::test_a_name_server_that_hangs_ends_the_fetch_in_time`",
    ],
    "prompt_api/service/browser.py": [
        ONE_TASK + "Any error of it is kept as the reason, and after a while it is started again: "
        "`tests/unit/api/test_browser_decoding.py::test_a_fetch_that_breaks_in_an_unknown_way_does_not_look_like_one_that_goes_on`",
    ],
    "prompt_api/service/live_workers.py": [
        "Counts the workers of each model, for as long as the process lives. Any error of a look is logged, and a "
        "count that is too old is not told: "
        "`tests/unit/api/test_live_workers.py::test_no_error_of_a_look_ends_the_looking`, "
        "`tests/unit/api/test_live_workers.py::test_a_count_that_is_too_old_is_not_told`",
    ],
    "shared/observe/metrics_server.py": [
        "Serves a worker's metrics. It goes on after an error of the server itself: "
        "`tests/unit/test_worker_metrics.py::test_the_metrics_are_served_on_after_an_error_of_the_server_itself`",
    ],
    "encoder_worker/encoding/pictures.py": [
        "Looks for decoded pictures that nobody uses, and starts the next look. It touches nothing but its own table, "
        "and whatever is kept later starts it again: "
        "`tests/unit/test_worker_pictures.py::test_a_look_that_fails_is_followed_by_another`",
    ],
    "encoder_worker/encoding/pipeline.py": [
        POOL
        + "The job gets the error: `tests/unit/test_worker_pipeline.py::test_a_bad_image_among_good_ones_fails_alone`",
        POOL
        + "The job gets the error: `tests/unit/test_worker_pipeline.py::test_a_failure_to_store_is_that_images_own`",
        "Runs the encoder. Any error goes to the jobs of the batch: "
        "`tests/unit/test_worker_pipeline.py::test_whatever_the_encoder_does_the_next_images_are_encoded`",
        "Waits for the embeddings of batches. What is found late goes to the jobs of that batch: "
        "`tests/unit/test_worker_overlap.py::test_what_the_device_finds_later_fails_alone`",
    ],
    "encoder_worker/backends/on_torch/device_check.py": [
        ONE_TASK + "Any error of it is the answer, and nobody waits for it longer than 20 s: "
        "`tests/torch/test_device_lost.py::"
        "test_a_device_that_hangs_is_lost_after_the_patience_and_one_without_memory_works`",
    ],
    "encoder_worker/decoding/child.py": [
        ONE_TASK + "It ends the process when its worker ends, and reads nothing: "
        "`tests/unit/test_decoding_processes.py::test_a_process_ends_with_its_worker_also_in_the_middle_of_an_image`",
    ],
    "shared/rq_worker/watchdog.py": [
        "Renews the lease of a running job. Any error of a beat is logged: "
        "`tests/unit/test_worker_watchdog.py::test_a_beat_that_fails_does_not_stop_the_heart`",
    ],
}
"""By file, one sentence or two for each thread in the order in which the file starts them."""


def starts(path: Path) -> int:
    """How many threads and pools the file starts."""
    return len(STARTS.findall(path.read_text()))


def test_every_thread_is_listed_with_what_keeps_it_alive() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): count
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if (count := starts(path))
    }
    assert found == {path: len(reasons) for path, reasons in KEPT_ALIVE.items()}


def test_every_test_that_is_named_here_exists() -> None:
    named = [pair for reasons in KEPT_ALIVE.values() for reason in reasons for pair in NAMED.findall(reason)]
    assert [(path, name) for path, name in named if name not in functions_of(path)] == []
