"""Memory that a worker shares with processes that decode: it is used again, it is bounded, and its size stays."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from encoder_worker.decoding.buffers import KEPT_BYTES, Buffer, Buffers, Mappings, stepped

MIB = 1 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has memory of a fixed size, and can free a part")


def filled(buffer: Buffer) -> Buffer:
    buffer.write(b"x" * buffer.size)
    return buffer


@contextmanager
def mapped_elsewhere(descriptor: int) -> Iterator[int]:
    """Gives a descriptor that stays, and maps it, as a process does that has got the buffer."""
    descriptor = os.dup(descriptor)
    mappings = Mappings()
    mappings.of(descriptor)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def taken(descriptor: int) -> int:
    """Bytes of memory that the system gives for it now."""
    return 512 * os.fstat(descriptor).st_blocks


def test_what_came_back_is_lent_again_to_all_that_it_fits() -> None:
    buffers = Buffers()
    small, large = buffers.lend(2 * MIB), buffers.lend(5 * MIB)
    for buffer in (small, large):
        buffers.give_back(buffer)
    assert buffers.lend(4 * MIB) is large
    assert buffers.lend(MIB) is small
    for buffer in (small, large):
        buffers.give_back(buffer)
    assert buffers.lend(2 * MIB) is small  # the smallest that fits
    assert buffers.lend(2 * MIB) not in (small, large)  # the large one is more than twice as large
    assert buffers.lend(6 * MIB) is not large


def test_a_buffer_comes_back_when_nobody_has_a_part_of_its_array() -> None:
    buffers = Buffers()
    buffer = buffers.lend(MIB)
    array = buffers.lent_array(buffer, 1000)
    assert array.shape == (1000,)
    part = array[:16].view(np.float32).reshape(2, 2)
    del array
    gc.collect()
    assert buffers.lend(MIB) is not buffer
    del part
    gc.collect()
    assert buffers.lend(MIB) is buffer


def test_the_bytes_that_are_kept_are_limited_and_the_oldest_go_first() -> None:
    buffers = Buffers(kept=5 * MIB)
    one, two, three, huge = (buffers.lend(size * MIB) for size in (2, 2, 3, 6))
    for buffer in (one, two, huge, three):
        buffers.give_back(buffer)
    assert buffers.lend(3 * MIB) is three
    assert buffers.lend(2 * MIB) is two
    assert buffers.lend(2 * MIB) is not one
    assert buffers.lend(6 * MIB) is not huge


def test_the_number_that_is_kept_is_limited_too() -> None:
    buffers = Buffers()
    lent = [buffers.lend(1) for _ in range(20)]
    for buffer in lent:
        buffers.give_back(buffer)
    again = [buffers.lend(1) for _ in lent]
    assert sum(buffer in lent for buffer in again) == 8


def test_nothing_is_kept_of_a_process_that_has_ended() -> None:
    buffers = Buffers()
    before, after = buffers.lend(1), buffers.lend(1)
    buffers.give_back(before)
    buffers.close()
    buffers.give_back(after)
    assert buffers.lend(1) not in (before, after)


@pytest.mark.parametrize("size", [1, MIB, MIB + 1, 3 * MIB, 12 * MIB, 6_480_000, 48_000_000, 150_000_000])
def test_sizes_go_in_steps_of_an_eighth_at_most(size: int) -> None:
    step = stepped(size)
    assert step % mmap.PAGESIZE == 0
    assert size <= step <= max(MIB, 1.125 * size)
    assert stepped(step) == step


def test_a_picture_of_16_megapixels_is_kept() -> None:
    assert stepped(3 * 16_000_000) <= KEPT_BYTES


@linux
def test_memory_is_freed_when_it_is_kept_no_more_though_the_other_process_still_maps_it() -> None:
    buffers = Buffers(kept=3 * MIB)
    one = filled(buffers.lend(2 * MIB))
    with mapped_elsewhere(one.descriptor) as descriptor:
        assert taken(descriptor) == 2 * MIB
        buffers.give_back(one)
        del one
        assert taken(descriptor) == 2 * MIB
        buffers.give_back(buffers.lend(3 * MIB))
        gc.collect()
        assert taken(descriptor) == 0


@linux
def test_a_buffer_that_is_larger_than_its_pixels_gives_the_rest_back() -> None:
    buffers = Buffers()
    large = filled(buffers.lend(8 * MIB))
    array = buffers.lent_array(large, 5 * MIB - 7)
    assert taken(large.descriptor) == 5 * MIB
    assert array.tobytes() == b"x" * (5 * MIB - 7)


@linux
def test_nobody_can_change_the_size_of_a_buffer() -> None:
    """A process that an image has taken over could end the worker so."""
    buffer = Buffers().lend(MIB)
    for size in (0, 2 * MIB):
        with pytest.raises(PermissionError):
            os.ftruncate(buffer.descriptor, size)


def test_the_other_process_maps_a_buffer_once() -> None:
    buffers, mappings = Buffers(), Mappings()
    one, other = buffers.lend(1), buffers.lend(1)
    mapped = mappings.of(one.descriptor)
    assert mappings.of(other.descriptor) is not mapped
    again = os.dup(one.descriptor)
    assert mappings.of(again) is mapped
    os.close(again)
    more = [buffers.lend(1) for _ in range(40)]
    for buffer in more:
        mappings.of(buffer.descriptor)
    assert mappings.of(more[-1].descriptor) is mappings.of(more[-1].descriptor)
    assert mappings.of(one.descriptor) is not mapped  # only so many stay


def test_systems_without_memory_of_this_kind_use_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.delattr(mmap, "MADV_REMOVE", raising=False)
    buffers = Buffers()
    buffer = buffers.lend(MIB)
    buffer.write(b"file")
    mapped = Mappings().of(buffer.descriptor)
    assert mapped[:4] == b"file"
    mapped[:6] = b"pixels"
    array = buffers.lent_array(buffer, 6)
    assert array.tobytes() == b"pixels"
    del array
    gc.collect()
    assert buffers.lend(MIB) is buffer
