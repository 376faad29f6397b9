"""Decoded pictures are kept while regions of them come, within a limit of bytes and of time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder_worker.encoding.pictures import DecodedPictures
from encoder_worker.metrics.counting import WorkerMetrics
from shared.contract.errors import ImageTooLarge, InvalidImage

SOON = 60.0
SIZE = 300
"""Bytes of one picture."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def picture(shade: int = 0, size: int = SIZE) -> NDArray[np.uint8]:
    return np.full((size // 30, 10, 3), shade, np.uint8)


def kept(pictures: DecodedPictures, image_id: str) -> bool:
    """Whether the picture is there. To look does not count as a region that was asked for."""
    with pictures.lent(image_id, for_region=False) as rgb:
        return rgb is not None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pictures(clock: Clock) -> DecodedPictures:
    return DecodedPictures(2 * SIZE, 60, clock=clock)


def test_a_picture_is_lent_until_it_was_not_used_for_a_while(pictures: DecodedPictures, clock: Clock) -> None:
    pictures.keep("a", picture(7), for_region=True)
    clock.now += 59
    with pictures.lent("a", for_region=True) as rgb:
        assert rgb is not None
        assert rgb[0, 0, 0] == 7
    clock.now += 59
    pictures.drop_unused()
    assert pictures.size == SIZE
    clock.now += 1
    pictures.drop_unused()
    assert pictures.size == 0
    assert not kept(pictures, "a")


def test_the_one_that_was_not_used_for_the_longest_time_makes_way(pictures: DecodedPictures) -> None:
    for image_id in "ab":
        assert pictures.keep(image_id, picture(), for_region=True)
    assert kept(pictures, "a")
    assert pictures.keep("c", picture(), for_region=True)
    assert [image_id for image_id in "abc" if kept(pictures, image_id)] == ["a", "c"]
    assert pictures.size == 2 * SIZE


def test_a_picture_that_is_read_never_makes_way(pictures: DecodedPictures, clock: Clock) -> None:
    for image_id in "ab":
        pictures.keep(image_id, picture(), for_region=True)
    with ExitStack() as readers:
        for image_id in "ab":
            readers.enter_context(pictures.lent(image_id, for_region=True))
        clock.now += 100
        pictures.drop_unused()
        assert not pictures.keep("c", picture(), for_region=True)
        assert pictures.size == 2 * SIZE
    assert pictures.keep("c", picture(), for_region=True)


def test_what_is_larger_than_the_limit_is_not_kept_and_drops_nothing(pictures: DecodedPictures) -> None:
    pictures.keep("a", picture(), for_region=True)
    assert not pictures.keep("b", picture(size=3 * SIZE), for_region=True)
    assert kept(pictures, "a")
    assert not DecodedPictures(0, 60).keep("a", picture(), for_region=True)


def test_a_whole_image_is_kept_only_where_regions_come(pictures: DecodedPictures, clock: Clock) -> None:
    assert not pictures.keep("a", picture(), for_region=False)
    with pictures.lent("b", for_region=True) as rgb:
        assert rgb is None
    assert pictures.keep("a", picture(), for_region=False)
    clock.now += 60
    assert not pictures.keep("c", picture(), for_region=False)


def test_a_whole_image_never_takes_the_room_of_one_with_regions(pictures: DecodedPictures) -> None:
    pictures.keep("a", picture(), for_region=True)
    with pictures.lent("a", for_region=True):
        pass
    assert pictures.keep("b", picture(), for_region=False)
    assert pictures.keep("c", picture(), for_region=False)
    assert [image_id for image_id in "abc" if kept(pictures, image_id)] == ["a", "c"]
    with pictures.lent("c", for_region=True):
        pass
    assert not pictures.keep("d", picture(), for_region=False)
    assert pictures.keep("d", picture(), for_region=True)


def test_only_one_thread_at_a_time_has_the_turn_of_a_picture(pictures: DecodedPictures) -> None:
    inside, most = 0, 0
    lock, all_there = threading.Lock(), threading.Barrier(4)

    def decode() -> None:
        nonlocal inside, most
        all_there.wait(SOON)
        with pictures.turn("a"):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.002)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert most == 1
    with pictures.turn("a"), pictures.turn("b"):  # of another picture, at the same time
        pass


def test_a_turn_that_ends_in_an_error_is_given_back(pictures: DecodedPictures) -> None:
    with pytest.raises(ZeroDivisionError), pictures.turn("a"):
        raise ZeroDivisionError
    with pictures.turn("a"):
        pass


def test_what_cannot_be_decoded_is_remembered_for_a_while(pictures: DecodedPictures, clock: Clock) -> None:
    pictures.require_not_refused("a")
    pictures.refuse("a", ImageTooLarge("it is too large", max_pixels=5))
    with pytest.raises(ImageTooLarge, match="it is too large") as caught:
        pictures.require_not_refused("a")
    assert caught.value.extra == {"max_pixels": 5}
    pictures.require_not_refused("b")
    clock.now += 60
    pictures.require_not_refused("a")


def test_no_more_than_some_refusals_are_remembered(pictures: DecodedPictures) -> None:
    for number in range(200):
        pictures.refuse(str(number), InvalidImage("broken"))
    pictures.require_not_refused("0")
    with pytest.raises(InvalidImage):
        pictures.require_not_refused("199")


def test_a_deleted_image_is_dropped_also_while_it_is_read(pictures: DecodedPictures) -> None:
    pictures.keep("a", picture(), for_region=True)
    with pictures.lent("a", for_region=True) as rgb:
        pictures.drop("a")
        assert pictures.size == 0
        assert rgb is not None
        assert rgb[0, 0, 0] == 0
    assert not kept(pictures, "a")


def test_the_metrics_tell_the_bytes() -> None:
    metrics = WorkerMetrics()

    def told() -> float | None:
        return metrics.registry.get_sample_value("sam_worker_picture_bytes")

    pictures = DecodedPictures(2 * SIZE, 60, metrics=metrics)
    assert told() == 0
    pictures.keep("a", picture(), for_region=True)
    pictures.keep("b", picture(), for_region=True)
    assert told() == 2 * SIZE
    pictures.drop("a")
    assert told() == SIZE
    pictures.close()
    assert told() == 0
    assert pictures.size == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_unused_picture_leaves_by_itself() -> None:
    pictures = DecodedPictures(2 * SIZE, 0.05)
    pictures.keep("a", picture(), for_region=True)
    until(lambda: pictures.size == 0)
    pictures.keep("a", picture(), for_region=True)  # and the next one too
    until(lambda: pictures.size == 0)


def test_a_look_that_fails_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    class FailingOnce(WorkerMetrics):
        def pictures_kept(self, size: int) -> None:
            if size == SIZE and not told:
                raise ZeroDivisionError
            super().pictures_kept(size)

    pictures = DecodedPictures(3 * SIZE, 0.05, metrics=FailingOnce())
    pictures.keep("a", picture(size=2 * SIZE), for_region=True)
    pictures.keep("b", picture(), for_region=True)
    with pictures.lent("b", for_region=True):
        until(lambda: bool(told))  # the look that dropped only "a"
    until(lambda: pictures.size == 0)


def test_without_a_thread_for_the_looks_pictures_are_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread(threading.Timer):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    pictures = DecodedPictures(2 * SIZE, 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Timer", NoThread)
        assert pictures.keep("a", picture(), for_region=True)
    assert pictures.keep("b", picture(), for_region=True)
    until(lambda: pictures.size == 0)
